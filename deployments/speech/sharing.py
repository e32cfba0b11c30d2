"""One piece of work for everybody who asks for the same at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
T = TypeVar("T")


@dataclass(slots=True)
class _Work(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class Sharing(Generic[Key, T]):
    """Work by its key, as long as somebody waits for it: when the last one leaves, it is cancelled."""

    def __init__(self) -> None:
        self._works: dict[Key, _Work[T]] = {}

    async def get(self, key: Key, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work`, or the one under way for the same key, returns or raises."""
        shared = self._works.get(key)
        if shared is None:
            shared = self._works[key] = _Work(asyncio.create_task(work()))
        shared.waiting += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if shared.task.done() or not shared.waiting:
                shared.task.cancel()
                if self._works.get(key) is shared:
                    del self._works[key]
