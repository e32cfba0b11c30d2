"""The code predictor: codes 1..15 of a frame from the talker's hidden state and code 0, one after the other."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from models.language.decoder_stack import DecoderStack
from models.language.sampling import SamplingRows, sample
from models.quantization import Linear


class CodePredictor(Protocol):
    """One call a frame for all running sequences."""

    failed: Tensor  # bool [rows]: NaN or infinity met in the last call; the codes of such a row mean nothing

    def embed(self, codes: Tensor) -> Tensor:
        """Codes 1.. of given frames, int64 [frames, groups - 1] -> sum of their embeddings [frames, talker hidden]."""
        ...

    def predict(self, hidden: Tensor, first: Tensor, uniforms: Tensor, rows: SamplingRows) -> tuple[Tensor, Tensor]:
        """hidden float32 [rows, talker hidden], first float32 [rows, talker hidden] (the embedding of code 0), uniforms
        float64 [rows, groups - 1] -> codes int64 [rows, groups - 1] and the sum of their embeddings."""
        ...


def sum_embeddings(tables: Sequence[Tensor], codes: Tensor) -> Tensor:
    """One table a column of `codes` int64 [frames, columns] -> float32 [frames, embedding size].

    Added up in the order in which a frame step draws them: the sums are the same to the last bit.
    """
    total = torch.zeros(len(codes), tables[0].shape[1])
    for column, table in enumerate(tables):
        total += table[codes[:, column]].float()
    return total


class TorchCodePredictor:
    """The reference. Its stack's cache has one slot a row and one position a code group."""

    def __init__(
        self,
        stack: DecoderStack,
        embeddings: Sequence[Tensor],  # groups - 1 of [codebook, talker hidden]
        heads: Sequence[Linear],  # groups - 1 of hidden -> codebook
        projection: tuple[Linear, Tensor] | None,  # talker hidden -> hidden and its bias, where the two differ
    ) -> None:
        self.stack = stack
        self.failed = torch.zeros(0, dtype=torch.bool)
        self._embeddings = embeddings
        self._heads = heads
        self._projection = projection

    def embed(self, codes: Tensor) -> Tensor:
        return sum_embeddings(self._embeddings, codes)

    def predict(self, hidden: Tensor, first: Tensor, uniforms: Tensor, rows: SamplingRows) -> tuple[Tensor, Tensor]:
        count = len(hidden)
        slots = list(range(count))
        total = torch.zeros_like(hidden)
        codes = torch.empty(count, len(self._heads), dtype=torch.int64)
        self.failed = torch.zeros(count, dtype=torch.bool)
        # Both first positions of a row stand together: talker's hidden state, then code 0.
        x = self._project(torch.stack((hidden, first), dim=1).flatten(0, 1))
        state = self.stack.forward(x, [slot for slot in slots for _ in range(2)], [0, 1] * count)[1::2]
        for group, (table, head) in enumerate(zip(self._embeddings, self._heads, strict=True)):
            logits = _row_by_row(head, state)
            self.failed |= ~torch.isfinite(logits).all(dim=-1)
            codes[:, group] = sample(logits.nan_to_num(nan=0.0), uniforms[:, group], rows)
            embedded = table[codes[:, group]].float()
            total += embedded
            if group + 1 < len(self._heads):
                state = self.stack.forward(self._project(embedded), slots, [group + 2] * count)
        return codes, total

    def _project(self, x: Tensor) -> Tensor:
        if self._projection is None:
            return x
        linear, bias = self._projection
        return _row_by_row(linear, x) + bias


def _row_by_row(linear: Linear, x: Tensor) -> Tensor:
    """A product whose rows do not depend on each other, whatever the library does with several."""
    return linear(x) if linear.batch_invariant else torch.cat([linear(row[None]) for row in x])
