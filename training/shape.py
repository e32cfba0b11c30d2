"""Dimensions of the embedded voice: as large as 25 MB in bfloat16 allow, and shapes that the native kernels have."""

from dataclasses import replace

from models.catalog import SPECIAL_CODES, TINY, SyntheticShape
from models.synthetic import SPECIAL_TOKENS, Vocabulary

SIZE = "embedded"
_HIDDEN = 256


def voice_shape(vocabulary: Vocabulary, groups: int, codebook: int) -> SyntheticShape:
    """The shape of the network for a vocabulary and a codec of `groups` codebooks of `codebook` codes. Of the codec
    parts only these two numbers are meant: the codec has its own configuration."""
    tokens = len(vocabulary.ids)
    return replace(
        TINY,
        size=SIZE,
        talker=replace(
            TINY.talker,
            layers=6,
            hidden=_HIDDEN,
            intermediate=640,
            heads=4,
            kv_heads=4,
            head_dim=64,
            vocabulary=codebook + SPECIAL_CODES,
        ),
        predictor=replace(
            TINY.predictor,
            layers=3,
            hidden=192,
            intermediate=512,
            heads=3,
            kv_heads=3,
            head_dim=64,
            vocabulary=codebook,
        ),
        codec=replace(TINY.codec, code_groups=groups, codebook_size=codebook),
        codec_encoder=replace(TINY.codec_encoder, code_groups=groups, codebook_size=codebook),
        speaker_encoder=replace(
            TINY.speaker_encoder,
            embedding=_HIDDEN,
            channels=(64, 64, 64, 64, 192),
            attention_channels=48,
            squeeze_channels=32,
        ),
        text_hidden=_HIDDEN,
        text_vocabulary=-(-(tokens + len(SPECIAL_TOKENS)) // 64) * 64,
        text_tokens=tokens,
    )
