"""The speech tokenizer's decoder as the engine uses it: codes in, samples out, the past of every slot kept inside."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.architecture import CodecDecoderDimensions
from models.checkpoint import Checkpoint
from models.codec_decoder import CodecDecoder
from models.codec_layers import DecoderBlock
from models.engine_options import EngineOptions
from models.quantization import Precision, compute_dtype
from models.tensor_file import TensorFile
from models.torch_codec import TorchCodec
from models.types import Codes

_log = logging.getLogger(__name__)


class Codec(Protocol):
    """Any number of slots in one call; a slot's samples do not depend on the slots beside it."""

    @property
    def state_bytes(self) -> int:
        """Bytes reserved for the past of all slots."""
        ...

    def clear(self, slot: int) -> None:
        """Forget a slot's past."""
        ...

    def snapshot(self, slot: int) -> tuple[Tensor, ...]:
        """A copy of a slot's past."""
        ...

    def restore(self, slot: int, state: Sequence[Tensor], done: int) -> None:
        """Give a slot the past that `snapshot` took after `done` frames."""
        ...

    def decode(self, slots: Sequence[int], codes: Tensor) -> Tensor:
        """Codes int64 [slots, frames, groups] -> samples float32 [slots, frames * samples a frame], -1..1; NaN where
        they are not finite, which the slots beside it do not notice."""
        ...

    def advance(self, slots: Sequence[int], codes: Tensor) -> None:
        """Move the transformer past codes that nobody hears: right for frames that lie at least `context_frames`
        before the next one that is heard, which the convolutions will have forgotten by then."""
        ...


def context_frames(dimensions: CodecDecoderDimensions) -> int:
    """Frames after which the convolutions have forgotten what came before, and one more."""
    reach, rate = 0.0, 1
    for ratio in dimensions.upsampling_ratios:
        rate *= ratio
        reach += 6 / rate
    reach += 6 / rate
    for factor in dimensions.upsample_rates:
        reach += DecoderBlock.reach(factor) / rate
        rate *= factor
    return math.ceil(reach + 6 / rate) + 1


class Primer:
    """Moves a slot past a reference clip, unheard, a piece at a time."""

    def __init__(self, codec: Codec, dimensions: CodecDecoderDimensions, rows: int) -> None:
        self._codec = codec
        self._context = context_frames(dimensions)
        self._rows = rows

    def advance(self, slot: int, codes: Codes, start: int) -> int:
        """Go on from frame `start` of the clip's codes [frames, groups]; returns where the piece ended.

        All but the last few frames only pass the transformer.
        """
        heard_from = max(0, len(codes) - self._context)
        if start < heard_from:
            end = min(start + self._rows, heard_from)
            self._codec.advance([slot], torch.from_numpy(codes[start:end])[None])
            return end
        self._codec.decode([slot], torch.from_numpy(codes[start:])[None])
        return len(codes)


@dataclass(frozen=True, slots=True)
class LoadedCodec:
    """A codec and what it reads."""

    codec: Codec
    weight_bytes: int


def load_codec(checkpoint: Checkpoint, precision: Precision, options: EngineOptions) -> LoadedCodec:
    """Native where the kernels were compiled and have the shapes, else torch. float32 beside float32 weights, else
    bfloat16 (computed in float32 where the machine has no instructions for it)."""
    from models import native

    storage: Precision = "fp32" if precision == "fp32" else "bf16"
    dimensions = checkpoint.architecture.codec
    if options.backend != "torch" and native.available() and native.supports_codec(dimensions, storage):
        return _native(checkpoint, storage, options)
    dtype = torch.float32 if precision == "fp32" else compute_dtype()
    decoder = _decoder(checkpoint, dtype)()
    return LoadedCodec(TorchCodec(decoder, _decoder(checkpoint, torch.float32), options.slots), decoder.weight_bytes)


def _decoder(checkpoint: Checkpoint, dtype: torch.dtype) -> Callable[[], CodecDecoder]:
    return lambda: CodecDecoder(checkpoint.architecture.codec, checkpoint.speech_tokenizer.tensor, dtype)


def _releasing(file: TensorFile, tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """The same tensors; what was read to make them does not stay resident."""
    for entry in tensors:
        yield entry
        file.release()


def _native(checkpoint: Checkpoint, storage: Precision, options: EngineOptions) -> LoadedCodec:
    from models.native import LAYOUT_VERSION, Kernels, NativeCodec, PackedCodec, pack_codec
    from models.packed_cache import open_packed

    dimensions, source = checkpoint.architecture.codec, checkpoint.speech_tokenizer.tensor
    tensors = open_packed(
        checkpoint.fingerprint,
        f"native-codec-{storage}",
        f"{LAYOUT_VERSION}",
        lambda: _releasing(checkpoint.speech_tokenizer, pack_codec(dimensions, source, storage)),
    )
    kernels = Kernels(options.instructions, options.threads)
    # A slot's codec goes through reference and speech, which together are fewer frames than a sequence has positions.
    codec = NativeCodec(PackedCodec(dimensions, storage, tensors), options.slots, options.max_positions, kernels)
    return LoadedCodec(codec, sum(tensor.nbytes for tensor in tensors.values()))
