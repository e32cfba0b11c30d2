"""An answer that many wait for and that is asked for once at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SharedAnswer(Generic[Answer]):
    """Whoever comes while it is being asked for waits for the same answer, and may leave without ending the asking."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        """`ask` ends in time by itself."""
        self._ask = ask
        self._asking: asyncio.Future[Answer] | None = None
        self._answered: tuple[float, Answer] | None = None

    async def get(self, max_age_s: float) -> Answer:
        """The answer, no older than `max_age_s` if there is such a one. Raises as `ask` does."""
        if self._answered is not None and time.monotonic() - self._answered[0] < max_age_s:
            return self._answered[1]
        if self._asking is None or self._asking.done():
            # In a context of its own: Ray ends what was asked for a request when the request is cancelled.
            self._asking = asyncio.get_running_loop().create_task(self._answer(), context=Context())
            self._asking.add_done_callback(_look_at)
        return await asyncio.shield(self._asking)

    async def _answer(self) -> Answer:
        answer = await self._ask()
        self._answered = time.monotonic(), answer
        return answer


def _look_at(asking: asyncio.Future[Answer]) -> None:
    """An error that nobody waited for any more is no news."""
    if not asking.cancelled():
        asking.exception()
