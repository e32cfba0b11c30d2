import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from deployments.fleet.shared_answer import SharedAnswer

asker: ContextVar[str] = ContextVar("asker", default="nobody")


class Slow:
    """Answers with the number of times it was asked, after a moment."""

    def __init__(self) -> None:
        self.times = 0
        self.ended = 0
        self.fails = False
        self.asked_by: list[str] = []

    async def __call__(self) -> int:
        self.times += 1
        self.asked_by.append(asker.get())
        await asyncio.sleep(0.02)
        self.ended += 1
        if self.fails:
            raise ValueError("broken")
        return self.times


def run(test: Callable[[Slow, SharedAnswer[int]], Awaitable[None]]) -> None:
    async def within_seconds() -> None:
        slow = Slow()
        async with asyncio.timeout(5):
            await test(slow, SharedAnswer(slow))

    asyncio.run(within_seconds())


def test_many_ask_once() -> None:
    async def test(slow: Slow, shared: SharedAnswer[int]) -> None:
        assert await asyncio.gather(*(shared.get(0.0) for _ in range(20))) == [1] * 20
        assert await shared.get(0.0) == 2
        assert await shared.get(60.0) == 2
        await asyncio.sleep(0.03)
        assert await shared.get(0.02) == 3
        assert slow.times == 3

    run(test)


def test_who_leaves_ends_nothing() -> None:
    async def test(slow: Slow, shared: SharedAnswer[int]) -> None:
        asker.set("a request")
        first, second = (asyncio.create_task(shared.get(0.0)) for _ in range(2))
        await asyncio.sleep(0.005)
        first.cancel()
        assert await second == 1
        assert first.cancelled()
        assert (slow.ended, slow.asked_by) == (1, ["nobody"])

    run(test)


def test_an_error_is_everybodys_and_is_not_kept() -> None:
    async def test(slow: Slow, shared: SharedAnswer[int]) -> None:
        slow.fails = True
        answers = await asyncio.gather(*(shared.get(60.0) for _ in range(2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ValueError, ValueError]
        with pytest.raises(ValueError, match="broken"):
            await shared.get(60.0)
        slow.fails = False
        assert await shared.get(60.0) == 3

    run(test)
