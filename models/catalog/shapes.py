"""Dimensions of synthetic checkpoints: a tiny one and the published sizes."""

from dataclasses import dataclass, replace

from models.architecture import (
    CodecDecoderDimensions,
    CodecEncoderDimensions,
    SpeakerEncoderDimensions,
    StackDimensions,
)

SPECIAL_CODES = 1024  # ids of the codec vocabulary after the codes: control tokens, languages, speakers


@dataclass(frozen=True, slots=True)
class SyntheticShape:
    """Everything that shapes one synthetic checkpoint. The parts must fit each other."""

    size: str  # what the checkpoint calls itself
    talker: StackDimensions
    predictor: StackDimensions
    codec: CodecDecoderDimensions
    codec_encoder: CodecEncoderDimensions
    speaker_encoder: SpeakerEncoderDimensions
    text_hidden: int
    text_vocabulary: int  # rows of the text embedding
    text_tokens: int  # tokens in vocab.json; special tokens follow

    def __post_init__(self) -> None:
        assert self.talker.vocabulary == self.codec.codebook_size + SPECIAL_CODES
        assert self.predictor.vocabulary == self.codec.codebook_size == self.codec_encoder.codebook_size
        assert self.speaker_encoder.embedding == self.talker.hidden
        assert self.codec.code_groups == self.codec_encoder.code_groups <= self.codec_encoder.quantizers


def _published_talker(hidden: int, intermediate: int) -> StackDimensions:
    return StackDimensions(
        layers=28,
        hidden=hidden,
        intermediate=intermediate,
        heads=16,
        kv_heads=8,
        head_dim=128,
        norm_eps=1e-6,
        rope_theta=1e6,
        vocabulary=2048 + SPECIAL_CODES,
    )


_PUBLISHED_CODEC = CodecDecoderDimensions(
    code_groups=16,
    codebook_size=2048,
    codebook_dim=512,
    latent=1024,
    decoder=1536,
    upsample_rates=(8, 5, 4, 3),
    upsampling_ratios=(2, 2),
    layers=8,
    hidden=512,
    intermediate=1024,
    heads=16,
    kv_heads=16,
    head_dim=64,
    norm_eps=1e-5,
    rope_theta=1e4,
    window=72,
)
_PUBLISHED_CODEC_ENCODER = CodecEncoderDimensions(
    filters=64,
    kernel_size=7,
    last_kernel_size=3,
    residual_kernel_size=3,
    residual_layers=1,
    dilation_growth=2,
    compress=2,
    ratios=(8, 6, 5, 4),
    hidden=512,
    intermediate=2048,
    layers=8,
    heads=8,
    kv_heads=8,
    head_dim=64,
    norm_eps=1e-5,
    rope_theta=1e4,
    downsample_kernel=4,
    quantizers=32,
    semantic_quantizers=1,
    codebook_size=2048,
    codebook_dim=256,
    quantizer_dim=256,
    code_groups=16,
    sample_rate=24000,
    samples_per_frame=1920,
)
_PUBLISHED_SPEAKER_ENCODER = SpeakerEncoderDimensions(
    mels=128,
    embedding=1024,
    channels=(512, 512, 512, 512, 1536),
    kernel_sizes=(5, 3, 3, 3, 1),
    dilations=(1, 2, 3, 4, 1),
    attention_channels=128,
    res2net_scale=8,
    squeeze_channels=128,
    sample_rate=24000,
)
_SMALL = SyntheticShape(
    size="0b6",
    talker=_published_talker(hidden=1024, intermediate=3072),
    predictor=replace(_published_talker(hidden=1024, intermediate=3072), layers=5, vocabulary=2048),
    codec=_PUBLISHED_CODEC,
    codec_encoder=_PUBLISHED_CODEC_ENCODER,
    speaker_encoder=_PUBLISHED_SPEAKER_ENCODER,
    text_hidden=2048,
    text_vocabulary=151936,
    text_tokens=151643,
)
_LARGE = replace(
    _SMALL,
    size="1b7",
    talker=_published_talker(hidden=2048, intermediate=6144),
    speaker_encoder=replace(_PUBLISHED_SPEAKER_ENCODER, embedding=2048),
)

# Tiny keeps what callers can see (16 code groups, 24 kHz, 1,920 samples a frame) and a projection between talker and
# code predictor, as the large size has it.
TINY = SyntheticShape(
    size="tiny",
    talker=replace(
        _SMALL.talker,
        layers=2,
        hidden=128,
        intermediate=256,
        heads=4,
        kv_heads=2,
        head_dim=32,
        vocabulary=512 + SPECIAL_CODES,
    ),
    predictor=replace(
        _SMALL.predictor, layers=2, hidden=64, intermediate=128, heads=4, kv_heads=2, head_dim=32, vocabulary=512
    ),
    codec=replace(
        _PUBLISHED_CODEC,
        codebook_size=512,
        codebook_dim=64,
        latent=64,
        decoder=256,
        layers=2,
        hidden=32,
        intermediate=64,
        heads=4,
        kv_heads=4,
        head_dim=32,
        window=24,
    ),
    codec_encoder=replace(
        _PUBLISHED_CODEC_ENCODER,
        filters=4,
        hidden=32,
        intermediate=64,
        layers=2,
        heads=4,
        kv_heads=4,
        head_dim=8,
        codebook_size=512,
        codebook_dim=16,
        quantizer_dim=16,
    ),
    speaker_encoder=replace(
        _PUBLISHED_SPEAKER_ENCODER,
        embedding=128,
        channels=(32, 32, 32, 32, 96),
        attention_channels=16,
        squeeze_channels=16,
    ),
    text_hidden=96,
    text_vocabulary=1024,
    text_tokens=640,
)

SHAPES = {"tiny": TINY, "0.6b": _SMALL, "1.7b": _LARGE}
