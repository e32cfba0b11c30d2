"""The torch reference of `models.codec.Codec`: codec state for every slot, and the decoder that moves it on."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.codec.decoder import CodecDecoder
from models.codec.layers import Carry, clipped


class TorchCodec:
    """The past of each slot, allocated once; decoding is guarded against a precision that overflowed."""

    def __init__(self, decoder: CodecDecoder, fallback: Callable[[], CodecDecoder], slots: int) -> None:
        self._decoder = decoder
        self._fallback = fallback  # makes a float32 decoder of the same weights, on first need
        self._wide: CodecDecoder | None = None
        self._state = decoder.fresh(slots)
        self._done = torch.zeros(slots, dtype=torch.int64)  # frames each slot has decoded
        self.decoded_again = 0  # chunks that the fallback had to decode

    @property
    def state_bytes(self) -> int:
        """Bytes reserved for all slots."""
        return sum(tensor.nbytes for tensor in self._state)

    def clear(self, slot: int) -> None:
        """Forget a slot's past."""
        self._done[slot] = 0
        for tensor in self._state:
            tensor[slot] = 0

    def snapshot(self, slot: int) -> tuple[Tensor, ...]:
        """A copy of a slot's past."""
        return tuple(tensor[slot].clone() for tensor in self._state)

    def restore(self, slot: int, state: Sequence[Tensor], done: int) -> None:
        """Give a slot the past that `snapshot` took after `done` frames."""
        self._done[slot] = done
        for tensor, kept in zip(self._state, state, strict=True):
            tensor[slot] = kept

    def decode(self, slots: Sequence[int], codes: Tensor) -> Tensor:
        """Codes int64 [slots, frames, groups] -> samples float32 [slots, frames * samples a frame], -1..1, or NaN."""
        carry = self._gather(slots)
        samples = self._decoder.decode(codes, carry, self._done[list(slots)])
        if not bool(torch.isfinite(samples).all()):
            carry = [tensor.float() for tensor in self._gather(slots)]
            samples = self._wide_decoder().decode(codes, carry, self._done[list(slots)])
            self.decoded_again += len(slots)
        self._scatter(slots, carry, codes.shape[1])
        return clipped(samples)

    def advance(self, slots: Sequence[int], codes: Tensor) -> None:
        """Move the transformer past codes int64 [slots, frames, groups] that nobody hears."""
        carry = self._gather(slots)
        self._decoder.advance(codes, carry, self._done[list(slots)])
        self._scatter(slots, carry, codes.shape[1])

    def _wide_decoder(self) -> CodecDecoder:
        if self._wide is None:
            self._wide = self._fallback()
        return self._wide

    def _gather(self, slots: Sequence[int]) -> Carry:
        return [tensor[list(slots)] for tensor in self._state]

    def _scatter(self, slots: Sequence[int], carry: Carry, frames: int) -> None:
        for tensor, moved in zip(self._state, carry, strict=True):
            tensor[list(slots)] = moved.to(tensor.dtype)
        self._done[list(slots)] += frames
