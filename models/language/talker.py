"""The talker: text and codes so far in, code 0 of the next frame out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.language.decoder_stack import DecoderStack
from models.quantization import Linear


@dataclass(frozen=True, slots=True)
class TextProjection:
    """Two layers from the text embedding's size to the talker's."""

    first: Linear
    first_bias: Tensor
    second: Linear
    second_bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """float32 [rows, text hidden] -> float32 [rows, hidden]."""
        return self.second(F.silu(self.first(x) + self.first_bias)) + self.second_bias


class Talker:
    """Embeddings, stack and head. The text embedding is only ever looked up, so it stays memory-mapped."""

    def __init__(
        self,
        stack: DecoderStack,
        head: Linear,
        codec_embedding: Tensor,  # [codec vocabulary, hidden]
        text_embedding: Tensor,  # [text vocabulary, text hidden], memory-mapped
        text_projection: TextProjection,
    ) -> None:
        self.stack = stack
        self.head = head
        self._codec_embedding = codec_embedding
        self._text_embedding = text_embedding
        self._text_projection = text_projection

    def embed_text(self, ids: Sequence[int]) -> Tensor:
        """Text token ids -> float32 [ids, hidden]."""
        return self._text_projection(self._text_embedding[torch.tensor(ids, dtype=torch.int64)].float())

    def touch_text(self, ids: Sequence[int]) -> None:
        """Have the pages of the text embedding that hold these ids in memory."""
        torch.index_select(self._text_embedding, 0, torch.tensor(ids, dtype=torch.int64))

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Ids of the codec vocabulary, int64 [...] -> float32 [..., hidden]."""
        return self._codec_embedding[codes].float()

    def forward(self, x: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """float32 [rows, hidden] -> hidden states float32 [rows, hidden]; see DecoderStack.forward."""
        return self.stack.forward(x, slots, positions)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states [rows, hidden] -> logits of code 0, float32 [rows, codec vocabulary]."""
        if self.head.batch_invariant:
            return self.head(hidden)
        return torch.cat([self.head(row[None]) for row in hidden])
