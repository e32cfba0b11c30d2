"""What the native kernels must compute, in float64 and plain torch, and random weights for both."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from models.architecture.precision import Precision
from models.architecture.speaking import StackDimensions
from models.language.decoder_stack import KeyValueCache
from models.native import (
    Kernels,
    NativeStack,
    PackedLayer,
    PackedLinear,
    instruction_sets,
    pack_bf16,
    pack_fp32,
    pack_int8,
    pack_nf4,
    why_unavailable,
)
from models.quantization.int8 import dequantize_int8, quantize_int8
from models.quantization.nf4 import dequantize_nf4, quantize_nf4

# AMX's kernels run everywhere with its instructions emulated, given the rest of what they need.
INSTRUCTIONS = (*instruction_sets(), *(["amx_emulated"] if "avx512_bf16" in instruction_sets() else []))

_REASON = why_unavailable()
# One that was left behind by newer sources must not pass for one that cannot be had: tests would be left out unnoticed.
assert _REASON is None or "not compiled" in _REASON, _REASON

needs_native = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


@dataclass(frozen=True)
class Matrix:
    """A matrix as the kernels have it, and what it means."""

    packed: PackedLinear
    dense: Tensor  # float64 [outputs, inputs]

    @property
    def block_maxima(self) -> Tensor:
        """Largest magnitude of each 64 inputs: float64 [outputs, inputs / 64]."""
        return self.dense.unflatten(1, (-1, 64)).abs().amax(dim=2)


def matrix(precision: Precision, outputs: int, inputs: int, gated: bool = False, scale: float = 0.05) -> Matrix:
    """Random weights at a precision."""
    weight = torch.randn(outputs, inputs) * scale
    if precision == "fp32":
        return Matrix(pack_fp32(weight, gated), weight.double())
    if precision == "bf16":
        return Matrix(pack_bf16(weight, gated), weight.bfloat16().double())
    if precision == "int8":
        eight = quantize_int8(weight)
        return Matrix(pack_int8(eight.codes, eight.scales, gated), dequantize_int8(eight).double())
    four = quantize_nf4(weight)
    return Matrix(pack_nf4(four.codes, four.scales, outputs, inputs, gated), dequantize_nf4(four).double())


def dimensions(hidden: int = 128, intermediate: int = 192, head_dim: int = 64, layers: int = 3) -> StackDimensions:
    """A small stack whose heads are grouped."""
    return StackDimensions(layers, hidden, intermediate, 4, 2, head_dim, 1e-6, 1e4, 96)


class ReferenceStack:
    """A stack in float64 without a cache: whole sequences, one at a time."""

    def __init__(self, dims: StackDimensions, precision: Precision) -> None:
        mixed = dims.heads * dims.head_dim
        shapes = {
            "qkv": (dims.qkv_rows, dims.hidden, False),
            "output": (dims.hidden, mixed, False),
            "gate_up": (2 * dims.intermediate, dims.hidden, True),
            "down": (dims.hidden, dims.intermediate, False),
        }
        norm_sizes = {"input_norm": dims.hidden, "query_norm": dims.head_dim, "key_norm": dims.head_dim}
        norm_sizes["post_norm"] = dims.hidden
        self.dims, self.precision = dims, precision
        self.matrices = [
            {name: matrix(precision, *shape) for name, shape in shapes.items()} for _ in range(dims.layers)
        ]
        self.norms = [
            {name: 1 + 0.2 * torch.randn(size) for name, size in norm_sizes.items()} for _ in range(dims.layers)
        ]
        self.norm = 1 + 0.2 * torch.randn(dims.hidden)

    def native(self, kernels: Kernels, slots: int = 4, positions: int = 64) -> NativeStack:
        """The same stack in native code, with an empty cache."""
        layers = [
            PackedLayer(
                input_norm=norms["input_norm"],
                qkv=matrices["qkv"].packed,
                query_norm=norms["query_norm"],
                key_norm=norms["key_norm"],
                output=matrices["output"].packed,
                post_norm=norms["post_norm"],
                gate_up=matrices["gate_up"].packed,
                down=matrices["down"].packed,
            )
            for matrices, norms in zip(self.matrices, self.norms, strict=True)
        ]
        dtype = torch.float32 if self.precision == "fp32" else torch.bfloat16
        return NativeStack(self.dims, layers, self.norm, KeyValueCache(self.dims, slots, positions, dtype), kernels)

    def forward(self, x: Tensor) -> Tensor:
        """float [positions, hidden] -> float64 [positions, hidden]."""
        x = x.double()
        for matrices, norms in zip(self.matrices, self.norms, strict=True):
            normed = self._norm(x, norms["input_norm"])
            x = x + self._attention(normed @ matrices["qkv"].dense.T, norms) @ matrices["output"].dense.T
            gate, up = (self._norm(x, norms["post_norm"]) @ matrices["gate_up"].dense.T).chunk(2, dim=-1)
            x = x + (gate * gate.sigmoid() * up) @ matrices["down"].dense.T
        return self._norm(x, self.norm)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return x / (x.square().mean(dim=-1, keepdim=True) + self.dims.norm_eps).sqrt() * weight.double()

    def _rotated(self, x: Tensor) -> Tensor:
        """x [positions, heads, head_dim]."""
        half = self.dims.head_dim // 2
        frequencies = self.dims.rope_theta ** (-torch.arange(half).double() / half)
        angles = torch.arange(len(x)).double()[:, None, None] * frequencies
        low, high = x[..., :half], x[..., half:]
        return torch.cat((low * angles.cos() - high * angles.sin(), high * angles.cos() + low * angles.sin()), dim=-1)

    def _attention(self, qkv: Tensor, norms: dict[str, Tensor]) -> Tensor:
        dims = self.dims
        query, key, value = qkv.view(len(qkv), -1, dims.head_dim).split(
            (dims.heads, dims.kv_heads, dims.kv_heads), dim=1
        )
        query = self._rotated(self._norm(query, norms["query_norm"])).transpose(0, 1)
        key = self._rotated(self._norm(key, norms["key_norm"])).transpose(0, 1)
        key, value = (
            part.repeat_interleave(dims.heads // dims.kv_heads, dim=0) for part in (key, value.transpose(0, 1))
        )
        scores = query @ key.transpose(1, 2) / dims.head_dim**0.5
        scores = scores.masked_fill(torch.ones_like(scores[0], dtype=torch.bool).triu(1), -torch.inf)
        return (scores.softmax(dim=-1) @ value).transpose(0, 1).flatten(1)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of what is expected."""
    return float((actual.double() - expected.double()).norm() / expected.double().norm())
