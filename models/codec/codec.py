"""The speech tokenizer's decoder as the engine uses it: codes in, samples out, the past of every slot kept inside."""

import logging
import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from models.architecture import CodecDecoderDimensions
from models.codec.layers import DecoderBlock
from models.request import Codes

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
