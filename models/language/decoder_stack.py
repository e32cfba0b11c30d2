"""The transformer stack that talker and code predictor share: the interface, and its torch reference.

Qwen3's decoder: RMSNorm before each part, RMSNorm over each query and key head, rotary embedding, grouped-query
attention over a cache, gated MLP. The multimodal rotary embedding of the talker's config interleaves three position
ids that are always equal in speech, so it is the plain one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import StackDimensions
from models.language.lazy_memory import lazy_zeros, touched_bytes
from models.language.transformer_parts import rms_norm, rotary_table, rotate
from models.quantization import Linear


class KeyValueCache:
    """Keys and values of every slot, allocated once. Untouched pages cost no memory."""

    def __init__(self, dimensions: StackDimensions, slots: int, positions: int, dtype: torch.dtype) -> None:
        shape = (dimensions.layers, slots, dimensions.kv_heads, positions, dimensions.head_dim)
        self.keys = lazy_zeros(shape, dtype)  # [layers, slots, kv_heads, positions, head_dim]
        self.values = lazy_zeros(shape, dtype)
        self.positions = positions

    @property
    def nbytes(self) -> int:
        """Bytes reserved."""
        return self.keys.nbytes + self.values.nbytes

    @property
    def untouched_bytes(self) -> int:
        """Bytes reserved that cost nothing yet."""
        return self.nbytes - touched_bytes(self.keys) - touched_bytes(self.values)

    def snapshot(self, slot: int, length: int) -> tuple[Tensor, Tensor]:
        """Copies of the first `length` positions of a slot: two of [layers, kv_heads, length, head_dim]."""
        return self.keys[:, slot, :, :length].clone(), self.values[:, slot, :, :length].clone()

    def restore(self, slot: int, state: tuple[Tensor, Tensor]) -> int:
        """Write a snapshot to the start of a slot; returns its length."""
        keys, values = state
        length = keys.shape[2]
        self.keys[:, slot, :, :length] = keys
        self.values[:, slot, :, :length] = values
        return length


class DecoderStack(Protocol):
    """A stack with its cache."""

    cache: KeyValueCache
    piecewise: bool  # whether the rows of a slot give the same, to the last bit, however they are cut into calls

    def forward(self, x: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """x float32 [rows, hidden] -> float32 [rows, hidden], after the final norm.

        Row r is position `positions[r]` of slot `slots[r]`. Rows of one slot stand together in rising order without
        gaps; each sees all earlier positions of its slot. One row of each of many slots is a decode step, many rows of
        one slot a piece of prefill.
        """
        ...


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer. Norms float32."""

    input_norm: Tensor  # [hidden]
    qkv: Linear  # hidden -> (heads + 2 kv_heads) * head_dim
    query_norm: Tensor  # [head_dim]
    key_norm: Tensor  # [head_dim]
    output: Linear  # heads * head_dim -> hidden
    post_norm: Tensor  # [hidden]
    gate_up: Linear  # hidden -> 2 * intermediate
    down: Linear  # intermediate -> hidden


@dataclass(frozen=True, slots=True)
class StackWeights:
    """A whole stack."""

    layers: Sequence[LayerWeights]
    norm: Tensor  # [hidden]


@dataclass(frozen=True, slots=True)
class _Span:
    """Rows of one slot that stand together."""

    slot: int
    first: int
    count: int
    start: int  # position of the first row


def _spans(slots: Sequence[int], positions: Sequence[int]) -> list[_Span]:
    spans: list[_Span] = []
    first = 0
    for row in range(1, len(slots) + 1):
        if row == len(slots) or slots[row] != slots[first]:
            spans.append(_Span(slots[first], first, row - first, positions[first]))
            first = row
    return spans


class TorchStack:
    """The reference: plain torch, one product after the other."""

    piecewise = False

    def __init__(self, dimensions: StackDimensions, weights: StackWeights, cache: KeyValueCache) -> None:
        self.dimensions = dimensions
        self.weights = weights
        self.cache = cache
        self._cosines, self._sines = rotary_table(
            torch.arange(cache.positions), dimensions.head_dim, dimensions.rope_theta
        )

    def forward(self, x: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        spans = _spans(slots, positions)
        index = torch.tensor(positions)
        cosines, sines = self._cosines[index][:, None, :], self._sines[index][:, None, :]
        rows = torch.tensor(slots), index
        for number, layer in enumerate(self.weights.layers):
            normed = rms_norm(x, layer.input_norm, self.dimensions.norm_eps)
            query = self._append(number, layer, self._product(layer.qkv, normed, spans), rows, cosines, sines)
            attended = torch.cat([self._attend(number, query, span) for span in spans])
            x = x + self._product(layer.output, attended, spans)
            normed = rms_norm(x, layer.post_norm, self.dimensions.norm_eps)
            gate, up = self._product(layer.gate_up, normed, spans).chunk(2, dim=-1)
            x = x + self._product(layer.down, F.silu(gate) * up, spans)
        return rms_norm(x, self.weights.norm, self.dimensions.norm_eps)

    @staticmethod
    def _product(linear: Linear, x: Tensor, spans: Sequence[_Span]) -> Tensor:
        """Products span by span where the library's result for a row depends on the rows beside it: a request's
        codes must not depend on what else is in the batch."""
        if linear.batch_invariant or len(spans) == 1:
            return linear(x)
        return torch.cat([linear(x[span.first : span.first + span.count]) for span in spans])

    def _append(
        self, number: int, layer: LayerWeights, qkv: Tensor, rows: tuple[Tensor, Tensor], cosines: Tensor, sines: Tensor
    ) -> Tensor:
        """Split, norm and rotate; store keys and values; return queries [rows, heads, head_dim]."""
        dims = self.dimensions
        heads = qkv.view(len(qkv), -1, dims.head_dim)
        query, key, value = heads.split((dims.heads, dims.kv_heads, dims.kv_heads), dim=1)
        query = rotate(rms_norm(query, layer.query_norm, dims.norm_eps), cosines, sines)
        key = rotate(rms_norm(key, layer.key_norm, dims.norm_eps), cosines, sines)
        slots, positions = rows
        self.cache.keys[number, slots, :, positions] = key.to(self.cache.keys.dtype)
        self.cache.values[number, slots, :, positions] = value.to(self.cache.values.dtype)
        return query

    def _attend(self, number: int, query: Tensor, span: _Span) -> Tensor:
        """Attention of one span's rows over its slot: [count, heads * head_dim]."""
        dims, end = self.dimensions, span.start + span.count
        keys = self.cache.keys[number, span.slot, :, :end].float()  # [kv_heads, end, head_dim]
        values = self.cache.values[number, span.slot, :, :end].float()
        query = query[span.first : span.first + span.count]
        grouped = query.view(span.count, dims.kv_heads, -1, dims.head_dim).permute(1, 2, 0, 3)
        grouped = grouped.reshape(dims.kv_heads, -1, dims.head_dim)  # [kv_heads, group * count, head_dim]
        scores = torch.bmm(grouped, keys.transpose(1, 2)) * dims.head_dim**-0.5
        if span.count > 1:
            hidden = torch.ones(span.count, end, dtype=torch.bool).triu(span.start + 1)
            scores = scores.view(dims.kv_heads, -1, span.count, end).masked_fill(hidden, -torch.inf).flatten(1, 2)
        mixed = torch.bmm(scores.softmax(dim=-1), values)  # [kv_heads, group * count, head_dim]
        mixed = mixed.view(dims.kv_heads, -1, span.count, dims.head_dim).permute(2, 0, 1, 3)
        return mixed.reshape(span.count, dims.heads * dims.head_dim)
