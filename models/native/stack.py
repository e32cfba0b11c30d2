"""The transformer stack in native code: the interface of models.language.decoder_stack.DecoderStack."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import Precision, StackDimensions
from models.language import KeyValueCache, rotary_table
from models.native.library import Kernels, NativeError, check
from models.native.packing import BLOCK, PANEL, PackedLinear, fits
from models.native.structures import LayerStructure, LinearStructure, StackStructure

HEAD_DIMS = (32, 64, 128)


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """One layer. Norms float32."""

    input_norm: Tensor  # [hidden]
    qkv: PackedLinear  # hidden -> (heads + 2 kv_heads) * head_dim
    query_norm: Tensor | None  # [head_dim]
    key_norm: Tensor | None  # [head_dim]
    output: PackedLinear  # heads * head_dim -> hidden
    post_norm: Tensor  # [hidden]
    gate_up: PackedLinear  # hidden -> 2 * intermediate, packed with gated=True
    down: PackedLinear  # intermediate -> hidden


def supports(dimensions: StackDimensions, precision: Precision) -> bool:
    """Whether the kernels can run a stack of these dimensions."""
    mixed = dimensions.heads * dimensions.head_dim
    shapes = (
        (dimensions.qkv_rows, dimensions.hidden),
        (dimensions.hidden, mixed),
        (2 * dimensions.intermediate, dimensions.hidden),
        (dimensions.hidden, dimensions.intermediate),
    )
    # Attention hands over a group of heads at a time, and a gate half a pair of panels: both must be whole blocks.
    step = BLOCK if precision in ("int8", "nf4") else PANEL
    group = mixed // dimensions.kv_heads
    return (
        dimensions.head_dim in HEAD_DIMS
        and dimensions.heads % dimensions.kv_heads == 0
        and group % step == 0
        and all(fits(precision, outputs, inputs) for outputs, inputs in shapes)
    )


class NativeStack:
    """All layers of a step, or of a piece of prefill, in one call without the interpreter's lock.

    A row in which a NaN or an infinity appears comes out as NaN; others are not touched by it. One thread at a time may
    use a stack.
    """

    piecewise = True

    def __init__(
        self,
        dimensions: StackDimensions,
        layers: Sequence[PackedLayer],
        norm: Tensor,  # [hidden]
        cache: KeyValueCache,
        kernels: Kernels,
        longest: int | None = None,
    ) -> None:
        """`longest`: positions a sequence may have, where that is more than the cache holds: then each position sees as
        many as the cache holds, itself included, and older ones are forgotten."""
        self.dimensions = dimensions
        self.cache = cache
        self.kernels = kernels
        self.longest = longest or cache.positions
        cosines, sines = rotary_table(torch.arange(self.longest), dimensions.head_dim, dimensions.rope_theta)
        half = dimensions.head_dim // 2
        self._angles = cosines[:, :half].contiguous(), sines[:, :half].contiguous()
        self._weights = layers, norm.float().contiguous()  # kept alive: the library only refers to them
        self.handle = self._create()

    def _create(self) -> int:
        dims, cache, (layers, norm), angles = self.dimensions, self.cache, self._weights, self._angles
        structures = (LayerStructure * len(layers))(*(_layer_structure(layer) for layer in layers))
        description = StackStructure(
            structures,
            *(tensor.data_ptr() for tensor in (norm, *angles, cache.keys, cache.values)),
            *(dims.layers, dims.hidden, dims.intermediate, dims.heads, dims.kv_heads, dims.head_dim),
            *(cache.keys.shape[1], cache.positions, cache.keys.dtype == torch.bfloat16, self.longest, dims.norm_eps),
        )
        handle = self.kernels.library.speech_stack_create(self.kernels.handle, ctypes.byref(description))
        if not handle:
            raise MemoryError("native stack")
        return handle

    def __del__(self) -> None:
        if handle := self.__dict__.pop("handle", None):
            self.kernels.library.speech_stack_destroy(handle)

    def forward(self, x: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """See models.language.DecoderStack. Raises NativeError for rows that are not as described there."""
        rows = len(slots)
        if x.shape != (rows, self.dimensions.hidden) or len(positions) != rows:
            raise NativeError(f"{tuple(x.shape)} for {rows} slots and {len(positions)} positions")
        working = torch.empty(rows, self.dimensions.hidden).copy_(x)
        out = torch.empty_like(working)
        integers = ctypes.c_int32 * rows
        result = self.kernels.library.speech_stack_forward(
            self.handle,
            *(tensor.data_ptr() for tensor in (working, out)),
            *(integers(*slots), integers(*positions)),
            *(rows, self.kernels.threads),
        )
        check(result, "stack")
        return out


def _layer_structure(layer: PackedLayer) -> LayerStructure:
    linears = (layer.qkv, layer.output, layer.gate_up, layer.down)
    norms = (layer.input_norm, layer.query_norm, layer.key_norm, layer.post_norm)
    for norm in norms:
        if norm is None:
            continue
        if norm.dtype != torch.float32 or not norm.is_contiguous():
            raise NativeError("norms are contiguous float32")
    return LayerStructure(
        *(LinearStructure.of(linear) for linear in linears),
        *((norm is not None and norm.data_ptr()) or None for norm in norms),
    )
