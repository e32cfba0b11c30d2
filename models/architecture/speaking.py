"""Dimensions and token ids of a checkpoint, read from its config.json files. Nothing here has a default:
the package's own defaults disagree with the published weights."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from models.architecture.config_section import ConfigSection, read_config
from models.errors import CheckpointError
from models.request import Kind


@dataclass(frozen=True, slots=True)
class StackDimensions:
    """A transformer stack: talker or code predictor."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_eps: float
    rope_theta: float
    vocabulary: int

    @property
    def qkv_rows(self) -> int:
        """Output rows of the joint query, key and value product."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim


@dataclass(frozen=True, slots=True)
class TextTokens:
    """Token ids of the text vocabulary."""

    im_start: int
    im_end: int
    tts_bos: int
    tts_eos: int
    tts_pad: int


@dataclass(frozen=True, slots=True)
class CodecTokens:
    """Ids of the codec vocabulary that are not codes."""

    bos: int
    eos: int
    pad: int
    think: int
    nothink: int
    think_bos: int
    think_eos: int


@dataclass(frozen=True, slots=True)
class CodecDecoderDimensions:
    """The speech tokenizer's decoder: codes to samples."""

    code_groups: int
    codebook_size: int
    codebook_dim: int
    latent: int
    decoder: int
    upsample_rates: tuple[int, ...]
    upsampling_ratios: tuple[int, ...]
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_eps: float
    rope_theta: float
    window: int  # positions a position sees, itself included

    @property
    def samples_per_frame(self) -> int:
        """Samples that one frame becomes."""
        return math.prod(self.upsample_rates) * math.prod(self.upsampling_ratios)


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that shapes one checkpoint."""

    kind: Kind
    size: str  # "0b6", "1b7", as the checkpoint names itself
    talker: StackDimensions
    predictor: StackDimensions
    codec: CodecDecoderDimensions
    code_groups: int
    text_hidden: int
    text_vocabulary: int
    text: TextTokens
    tokens: CodecTokens
    languages: dict[str, int]  # name -> codec token, dialects included
    speakers: dict[str, int]
    dialects: dict[str, str]  # speaker -> dialect it speaks
    sample_rate: int
    samples_per_frame: int
    text_at_once: bool  # unless a request says otherwise; text trails where not
    in_context: bool  # clones may continue a clip with its text; speaker embeddings alone where not

    @property
    def spoken_languages(self) -> tuple[str, ...]:
        """Languages a request may name (dialects are reached through their speakers)."""
        return spoken_languages(self.languages)

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.samples_per_frame


def _stack(section: ConfigSection) -> StackDimensions:
    section.require("hidden_act", "silu")
    section.require("attention_bias", False, None)
    section.require("sliding_window", None)
    return StackDimensions(
        layers=section.get("num_hidden_layers", int),
        hidden=section.get("hidden_size", int),
        intermediate=section.get("intermediate_size", int),
        heads=section.get("num_attention_heads", int),
        kv_heads=section.get("num_key_value_heads", int),
        head_dim=section.get("head_dim", int),
        norm_eps=section.get("rms_norm_eps", float),
        rope_theta=section.get("rope_theta", float),
        vocabulary=section.get("vocab_size", int),
    )


def _codec(section: ConfigSection) -> CodecDecoderDimensions:
    section.require("hidden_act", "silu")
    section.require("attention_bias", False, None)
    section.require("num_semantic_quantizers", 1)
    return CodecDecoderDimensions(
        code_groups=section.get("num_quantizers", int),
        codebook_size=section.get("codebook_size", int),
        codebook_dim=section.get("codebook_dim", int),
        latent=section.get("latent_dim", int),
        decoder=section.get("decoder_dim", int),
        upsample_rates=section.ints("upsample_rates"),
        upsampling_ratios=section.ints("upsampling_ratios"),
        layers=section.get("num_hidden_layers", int),
        hidden=section.get("hidden_size", int),
        intermediate=section.get("intermediate_size", int),
        heads=section.get("num_attention_heads", int),
        kv_heads=section.get("num_key_value_heads", int),
        head_dim=section.get("head_dim", int),
        norm_eps=section.get("rms_norm_eps", float),
        rope_theta=section.get("rope_theta", float),
        window=section.get("sliding_window", int),
    )


def spoken_languages(languages: Iterable[str]) -> tuple[str, ...]:
    """Those a request may name (dialects are reached through their speakers)."""
    return ("auto", *(name for name in languages if "dialect" not in name))


def read_table(section: ConfigSection, key: str) -> dict[str, Any]:
    """A table by lower-case name; kinds of model that have no use for one leave it out."""
    table: dict[str, Any] = section.values.get(key) or {}
    return {name.lower(): value for name, value in table.items()}


def _mode(config: ConfigSection, name: str, default: bool) -> bool:
    """What a checkpoint says of the modes it was trained for, named as upstream's parameters; published ones know all
    modes and say nothing."""
    return config.get(name, bool) if name in config.values else default


def read_architecture(directory: Path) -> Architecture:
    """The architecture of the checkpoint in `directory` (published on-disk format).

    Raises CheckpointError when a file or key is missing or describes something unsupported.
    """
    config = read_config(directory / "config.json")
    config.require("tokenizer_type", "qwen3_tts_tokenizer_12hz")
    config.require("tts_model_type", *get_args(Kind))
    talker = config.section("talker_config")
    talker.section("rope_scaling").require("rope_type", "default")
    predictor = talker.section("code_predictor_config")
    speech_tokenizer = read_config(directory / "speech_tokenizer" / "config.json")
    codec = _codec(speech_tokenizer.section("decoder_config"))
    code_groups = talker.get("num_code_groups", int)
    predictor.require("num_code_groups", code_groups)
    if codec.code_groups != code_groups:
        raise CheckpointError(f"{directory}: talker has {code_groups} code groups, codec {codec.code_groups}")
    speech_tokenizer.require("decode_upsample_rate", codec.samples_per_frame)
    return Architecture(
        kind=config.values["tts_model_type"],
        size=config.get("tts_model_size", str),
        talker=_stack(talker),
        predictor=_stack(predictor),
        codec=codec,
        code_groups=code_groups,
        text_hidden=talker.get("text_hidden_size", int),
        text_vocabulary=talker.get("text_vocab_size", int),
        text=TextTokens(
            **{name: config.get(f"{name}_token_id", int) for name in TextTokens.__dataclass_fields__},
        ),
        tokens=CodecTokens(
            eos=talker.get("codec_eos_token_id", int),
            **{name: talker.get(f"codec_{name}_id", int) for name in CodecTokens.__dataclass_fields__ if name != "eos"},
        ),
        languages=read_table(talker, "codec_language_id"),
        speakers=read_table(talker, "spk_id"),
        dialects={name: dialect for name, dialect in read_table(talker, "spk_is_dialect").items() if dialect},
        sample_rate=speech_tokenizer.get("output_sample_rate", int),
        samples_per_frame=speech_tokenizer.get("decode_upsample_rate", int),
        text_at_once=_mode(config, "non_streaming_mode", config.values["tts_model_type"] != "base"),
        in_context=not _mode(config, "x_vector_only_mode", False),
    )
