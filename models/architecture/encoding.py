"""Dimensions of the parts that turn reference audio into a voice: speaker encoder and codec encoder.

A replica that only speaks never reads them.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from models.architecture.config_section import ConfigSection, read_config

# Published config files name only the size of the speaker embedding; the rest is what the package's config class
# supplies for them, and a key that is there overrides it.
_PUBLISHED_SPEAKER_ENCODER: dict[str, object] = {
    "mel_dim": 128,
    "enc_channels": [512, 512, 512, 512, 1536],
    "enc_kernel_sizes": [5, 3, 3, 3, 1],
    "enc_dilations": [1, 2, 3, 4, 1],
    "enc_attention_channels": 128,
    "enc_res2net_scale": 8,
    "enc_se_channels": 128,
    "sample_rate": 24000,
}


@dataclass(frozen=True, slots=True)
class SpeakerEncoderDimensions:
    """ECAPA-TDNN: mel spectrogram to speaker embedding. Tuples have one entry per block, the aggregation last."""

    mels: int
    embedding: int
    channels: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    dilations: tuple[int, ...]
    attention_channels: int
    res2net_scale: int
    squeeze_channels: int
    sample_rate: int


@dataclass(frozen=True, slots=True)
class CodecEncoderDimensions:
    """The speech tokenizer's encoder (Mimi's): samples to codes."""

    filters: int
    kernel_size: int
    last_kernel_size: int
    residual_kernel_size: int
    residual_layers: int
    dilation_growth: int
    compress: int
    ratios: tuple[int, ...]  # in decoder order, as the config file has them: the encoder runs them backwards
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_eps: float
    rope_theta: float
    downsample_kernel: int
    quantizers: int
    semantic_quantizers: int
    codebook_size: int
    codebook_dim: int
    quantizer_dim: int
    code_groups: int  # of the quantizers, the ones whose codes the talker uses
    sample_rate: int
    samples_per_frame: int


def _speaker_encoder(section: ConfigSection) -> SpeakerEncoderDimensions:
    section = ConfigSection({**_PUBLISHED_SPEAKER_ENCODER, **section.values}, section.where)
    return SpeakerEncoderDimensions(
        mels=section.get("mel_dim", int),
        embedding=section.get("enc_dim", int),
        channels=section.ints("enc_channels"),
        kernel_sizes=section.ints("enc_kernel_sizes"),
        dilations=section.ints("enc_dilations"),
        attention_channels=section.get("enc_attention_channels", int),
        res2net_scale=section.get("enc_res2net_scale", int),
        squeeze_channels=section.get("enc_se_channels", int),
        sample_rate=section.get("sample_rate", int),
    )


def _downsample_kernel(section: ConfigSection, ratios: tuple[int, ...]) -> int:
    """Twice the factor between the convolutions' frame rate and the codes' (MimiModel's rule)."""
    convolution_rate = math.ceil(section.get("sampling_rate", int) / math.prod(ratios))
    return 2 * int(convolution_rate / section.get("_frame_rate", float))


def _codec_encoder(speech_tokenizer: ConfigSection) -> CodecEncoderDimensions:
    section = speech_tokenizer.section("encoder_config")
    section.require("audio_channels", 1)
    section.require("hidden_act", "gelu")
    section.require("pad_mode", "constant")
    section.require("use_causal_conv", True)
    section.require("use_conv_shortcut", False)
    section.require("attention_bias", False)
    ratios = section.ints("upsampling_ratios")
    return CodecEncoderDimensions(
        filters=section.get("num_filters", int),
        kernel_size=section.get("kernel_size", int),
        last_kernel_size=section.get("last_kernel_size", int),
        residual_kernel_size=section.get("residual_kernel_size", int),
        residual_layers=section.get("num_residual_layers", int),
        dilation_growth=section.get("dilation_growth_rate", int),
        compress=section.get("compress", int),
        ratios=ratios,
        hidden=section.get("hidden_size", int),
        intermediate=section.get("intermediate_size", int),
        layers=section.get("num_hidden_layers", int),
        heads=section.get("num_attention_heads", int),
        kv_heads=section.get("num_key_value_heads", int),
        head_dim=section.get("head_dim", int),
        norm_eps=section.get("norm_eps", float),
        rope_theta=section.get("rope_theta", float),
        downsample_kernel=_downsample_kernel(section, ratios),
        quantizers=section.get("num_quantizers", int),
        semantic_quantizers=section.get("num_semantic_quantizers", int),
        codebook_size=section.get("codebook_size", int),
        codebook_dim=section.get("codebook_dim", int),
        quantizer_dim=section.get("vector_quantization_hidden_dimension", int),
        code_groups=speech_tokenizer.get("encoder_valid_num_quantizers", int),
        sample_rate=speech_tokenizer.get("input_sample_rate", int),
        samples_per_frame=speech_tokenizer.get("encode_downsample_rate", int),
    )


def read_speaker_encoder(directory: Path) -> SpeakerEncoderDimensions:
    """The speaker encoder of the Base checkpoint in `directory`. Raises CheckpointError."""
    return _speaker_encoder(read_config(directory / "config.json").section("speaker_encoder_config"))


def read_codec_encoder(directory: Path) -> CodecEncoderDimensions:
    """The codec encoder of the checkpoint in `directory`. Raises CheckpointError."""
    return _codec_encoder(read_config(directory / "speech_tokenizer" / "config.json"))
