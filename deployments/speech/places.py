"""A bounded queue before work that is heavy."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from models import OverloadedError

T = TypeVar("T")

FIRST_GUESS_S = 5.0  # of how long a piece of work takes, before any was measured
NEWEST_SHARE = 0.3  # of the last piece's duration in what the next is expected to take


class Places:
    """So many pieces of work at once, so many more that wait for their turn; whoever comes then is refused.

    Whoever stops waiting before its turn leaves the queue. Work that has begun and cannot be stopped keeps its place
    until it ends, though nobody waits for it any more.
    """

    def __init__(self, what: str, at_once: int, may_wait: int) -> None:
        self._what = what
        self._at_once = at_once
        self._may_wait = may_wait
        self._free = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._running: set[asyncio.Task[Any]] = set()
        self._expected_s = FIRST_GUESS_S

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` returns. Raises OverloadedError when too many wait."""
        if self._free.locked() and self._waiting >= self._may_wait:
            raise OverloadedError(f"too many {self._what} are waiting", self._retry_after_s)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        task = asyncio.create_task(work())
        self._running.add(task)
        began = time.monotonic()
        task.add_done_callback(lambda done: self._leave(done, time.monotonic() - began))
        return await asyncio.shield(task)

    @property
    def _retry_after_s(self) -> float:
        return self._expected_s * (1 + self._waiting / self._at_once)

    def _leave(self, task: "asyncio.Task[Any]", seconds: float) -> None:
        self._running.discard(task)
        self._free.release()
        self._expected_s += NEWEST_SHARE * (seconds - self._expected_s)
