"""The codec of a checkpoint, on the best backend there is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import Precision
from models.checkpoint import Checkpoint
from models.codec import Codec, CodecDecoder, TorchCodec
from models.loading.options import LoadOptions
from models.quantization import compute_dtype
from models.storage import TensorFile


@dataclass(frozen=True, slots=True)
class LoadedCodec:
    """A codec and what it reads."""

    codec: Codec
    weight_bytes: int


def load_codec(checkpoint: Checkpoint, precision: Precision, options: LoadOptions) -> LoadedCodec:
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


def _native(checkpoint: Checkpoint, storage: Precision, options: LoadOptions) -> LoadedCodec:
    from models.native import LAYOUT_VERSION, Kernels, NativeCodec, PackedCodec, pack_codec
    from models.storage import open_packed

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
