"""What a model will take, computed from its dimensions before anything is loaded. Needs neither torch nor weights.

Everything is counted as if it were in use at its full size: weights that are mapped from files, caches of all slots up
to the last position. The parts that follow from dimensions are exact; BASE and WORK were measured (docs/RELIABILITY.md
compares the sums with what loading and speaking really take).
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from math import prod
from typing import Protocol

from models.architecture.precision import SMALLER, WEIGHT_BYTES, Precision, head_precision, projection_precision
from models.architecture.speaking import CodecDecoderDimensions, StackDimensions
from models.architecture.tensors import RESIDUAL_DILATIONS, codec_decoder_tensors
from models.request import Kind

MIB = 2**20
BASE_FILES = 130 * MIB  # pages of Python's, Ray's and torch's libraries that a replica reads
BASE_PRIVATE = 310 * MIB  # the interpreter, Ray, torch and the text tokenizer, before the first request
WORK = 48 * MIB  # prompts, logits, the kernels' buffers
ENCODING = 160 * MIB  # turning 30 s of audio into a voice, which Base models do
PREFIXES = 64 * MIB  # state kept for voices: EngineOptions.prefix_bytes
LEAST_POSITIONS = 512  # about 30 s with a short prompt: less is of no use


class Dimensions(Protocol):
    """The part of an `Architecture` that costs memory; a `SyntheticShape` has it too."""

    @property
    def talker(self) -> StackDimensions: ...
    @property
    def predictor(self) -> StackDimensions: ...
    @property
    def codec(self) -> CodecDecoderDimensions: ...
    @property
    def text_hidden(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What may be chosen of a model."""

    precision: Precision
    slots: int
    max_positions: int

    def __str__(self) -> str:
        return f"precision {self.precision}, slots {self.slots}, max_positions {self.max_positions}"


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by purpose."""

    weights: int  # talker, code predictor and codec, packed; tables of codes
    caches: int  # keys and values of all slots, and the codec's past
    work: int  # audio that is held, prompts, voices
    base: int  # the process itself

    @property
    def total(self) -> int:
        return sum(astuple(self))

    def __str__(self) -> str:
        parts = {"weights": self.weights, "caches": self.caches, "work": self.work, "process": self.base}
        listing = ", ".join(f"{name} {size / MIB:.0f}" for name, size in parts.items())
        return f"{self.total / MIB:.0f} MiB ({listing})"


def estimate_memory(dimensions: Dimensions, kind: Kind, setting: Setting) -> MemoryEstimate:
    """What a replica with native kernels takes at most with this setting."""
    held = setting.max_positions * dimensions.codec.samples_per_frame * 4  # an utterance that is wanted whole
    work = WORK + PREFIXES + (ENCODING if kind == "base" else 0) + setting.slots * held
    return MemoryEstimate(
        _weights(dimensions, setting.precision), _caches(dimensions, setting), work, BASE_FILES + BASE_PRIVATE
    )


def nearest_fit(dimensions: Dimensions, kind: Kind, setting: Setting, budget: int) -> Setting | None:
    """The setting nearest to the one wanted that fits `budget` bytes: fewer slots, then fewer positions, then a smaller
    precision. None when nothing fits."""
    for candidate in _candidates(setting):
        if estimate_memory(dimensions, kind, candidate).total <= budget:
            return candidate
    return None


def _candidates(setting: Setting) -> Iterator[Setting]:
    precision: Precision | None = setting.precision
    while precision is not None:
        for slots in range(setting.slots, 0, -1):
            yield Setting(precision, slots, setting.max_positions)
        positions = setting.max_positions // 2
        while positions >= LEAST_POSITIONS:
            yield Setting(precision, 1, positions)
            positions //= 2
        precision = SMALLER.get(precision)


def _weights(dimensions: Dimensions, precision: Precision) -> int:
    talker, predictor, text = dimensions.talker, dimensions.predictor, dimensions.text_hidden
    groups = dimensions.codec.code_groups - 1
    projection = int(WEIGHT_BYTES[projection_precision(precision)])
    between = predictor.hidden * talker.hidden if predictor.hidden != talker.hidden else 0
    heads = talker.vocabulary * talker.hidden + groups * predictor.vocabulary * predictor.hidden
    tables = (talker.vocabulary + groups * predictor.vocabulary) * talker.hidden
    return int(
        (_layer_weights(talker) + _layer_weights(predictor)) * WEIGHT_BYTES[precision]
        + heads * WEIGHT_BYTES[head_precision(precision)]
        + (text * text + talker.hidden * text + between) * projection
        + tables * 2  # looked up where the checkpoint is mapped
        + _codec_weights(dimensions.codec, projection)
    )


def _layer_weights(stack: StackDimensions) -> int:
    attention = (stack.qkv_rows + stack.heads * stack.head_dim) * stack.hidden
    return stack.layers * (attention + 3 * stack.intermediate * stack.hidden)


def _codec_weights(codec: CodecDecoderDimensions, width: int) -> int:
    """Bytes at `width` bytes a weight."""
    codebooks = codec.code_groups * codec.codebook_size * codec.codebook_dim // 2 + codec.codebook_dim**2
    shapes = codec_decoder_tensors(codec).items()
    return width * (codebooks + sum(prod(shape) for name, shape in shapes if "quantizer" not in name))


def _caches(dimensions: Dimensions, setting: Setting) -> int:
    width = 4 if setting.precision == "fp32" else 2
    codec = dimensions.codec
    codec_past = 2 * codec.layers * codec.kv_heads * codec.head_dim * codec.window
    slot = (
        _position(dimensions.talker) * setting.max_positions * width
        + _position(dimensions.predictor) * codec.code_groups * 4
        + (codec_past + _convolutions_past(codec)) * width
    )
    return setting.slots * slot


def _position(stack: StackDimensions) -> int:
    """Numbers that one position of one slot keeps."""
    return 2 * stack.layers * stack.kv_heads * stack.head_dim


def _convolutions_past(codec: CodecDecoderDimensions) -> int:
    """Numbers that the codec's convolutions of seven taps look back on."""
    residual = sum(6 * dilation for dilation in RESIDUAL_DILATIONS)
    channels = [codec.decoder >> number for number in range(len(codec.upsample_rates) + 1)]
    return 6 * codec.latent * (1 + len(codec.upsampling_ratios)) + sum(residual * width for width in channels[1:])
