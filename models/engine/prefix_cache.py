"""State that depends on the voice alone, kept for the next request with the same voice."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor


class PrefixCache:
    """Tensors by content key, least recently used first out, bounded in bytes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, tuple[Tensor, ...]] = OrderedDict()
        self.nbytes = 0

    def get(self, key: bytes) -> tuple[Tensor, ...] | None:
        """The state kept under `key`; never written to by the caller."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def clear(self) -> None:
        """Keep nothing: memory is needed for something else."""
        self._entries.clear()
        self.nbytes = 0

    def put(self, key: bytes, tensors: Sequence[Tensor]) -> None:
        """Keep a state, unless it alone would not fit."""
        size = sum(tensor.nbytes for tensor in tensors)
        if key in self._entries or size > self._capacity:
            return
        self._entries[key] = tuple(tensors)
        self.nbytes += size
        while self.nbytes > self._capacity:
            _, dropped = self._entries.popitem(last=False)
            self.nbytes -= sum(tensor.nbytes for tensor in dropped)
