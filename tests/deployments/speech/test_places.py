"""Bounded queues, and work that is shared."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from deployments.speech.places import FIRST_GUESS_S, Places
from deployments.speech.sharing import Sharing
from models import OverloadedError


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_seconds() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(within_seconds())


class Work:
    """Goes on until it is let go, and says what became of it."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended = False

    async def __call__(self) -> str:
        self.began.set()
        await self.go_on.wait()
        self.ended = True
        return "done"


async def turns() -> None:
    """Let everything that can move do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_first_come_first_served_and_the_rest_is_refused() -> None:
    async def test() -> None:
        places = Places("clips", 1, 2)
        works = [Work() for _ in range(3)]
        tasks = [asyncio.create_task(places.run(work)) for work in works]
        await turns()
        assert [work.began.is_set() for work in works] == [True, False, False]
        with pytest.raises(OverloadedError, match="too many clips") as refused:
            await places.run(Work())
        assert refused.value.retry_after_s == 3 * FIRST_GUESS_S
        for work in works:
            await work.began.wait()
            work.go_on.set()
        assert await asyncio.gather(*tasks) == ["done"] * 3
        with pytest.raises(OverloadedError) as refused:
            await asyncio.gather(*(places.run(Work()) for _ in range(4)))
        assert refused.value.retry_after_s < 3 * FIRST_GUESS_S, "they were quick"

    run(test)


def test_who_leaves_the_queue_is_not_waited_for() -> None:
    async def test() -> None:
        places = Places("clips", 1, 1)
        first, second, third = Work(), Work(), Work()
        running = asyncio.create_task(places.run(first))
        waiting = asyncio.create_task(places.run(second))
        await turns()
        waiting.cancel()
        await turns()
        another = asyncio.create_task(places.run(third))
        await turns()
        first.go_on.set()
        third.go_on.set()
        assert await another == await running == "done"
        assert not second.began.is_set()

    run(test)


def test_work_that_nobody_waits_for_keeps_its_place_until_it_ends() -> None:
    async def test() -> None:
        places = Places("clips", 1, 1)
        first, second = Work(), Work()
        running = asyncio.create_task(places.run(first))
        await first.began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        waiting = asyncio.create_task(places.run(second))
        await turns()
        assert not second.began.is_set()
        first.go_on.set()
        await second.began.wait()
        assert first.ended
        second.go_on.set()
        assert await waiting == "done"

    run(test)


def test_work_that_fails_gives_its_place_back() -> None:
    async def test() -> None:
        async def fail() -> None:
            raise ValueError("it failed")

        places = Places("clips", 1, 0)
        for _ in range(3):
            with pytest.raises(ValueError, match="it failed"):
                await places.run(fail)

    run(test)


def test_the_same_is_done_once_for_all_who_ask() -> None:
    async def test() -> None:
        sharing = Sharing[str, str]()
        work, other = Work(), Work()
        tasks = [asyncio.create_task(sharing.get("a", work)) for _ in range(3)]
        different = asyncio.create_task(sharing.get("b", other))
        await turns()
        tasks[0].cancel()
        await turns()
        work.go_on.set()
        assert await asyncio.gather(*tasks[1:]) == ["done"] * 2
        assert not different.done()
        other.go_on.set()
        assert await different == "done"
        again = Work()
        again.go_on.set()
        assert await sharing.get("a", again) == "done"
        assert again.ended, "what is over is not given again"

    run(test)


def test_what_the_last_one_leaves_is_stopped() -> None:
    async def test() -> None:
        places, sharing = Places("clips", 1, 5), Sharing[str, str]()
        running, queued = Work(), Work()
        first = asyncio.create_task(sharing.get("a", partial(places.run, running)))
        both = [asyncio.create_task(sharing.get("b", partial(places.run, queued))) for _ in range(2)]
        await turns()
        both[0].cancel()
        await turns()
        both[1].cancel()
        await turns()
        running.go_on.set()
        assert await first == "done"
        await turns()
        assert not queued.began.is_set()

    run(test)


def test_a_failure_is_everybodys() -> None:
    async def test() -> None:
        async def fail() -> str:
            await asyncio.sleep(0)
            raise OverloadedError("full", 1.0)

        sharing = Sharing[str, str]()
        results = await asyncio.gather(*(sharing.get("a", fail) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [OverloadedError] * 3

    run(test)
