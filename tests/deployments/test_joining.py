"""Identical requests with a seed: one computation, everybody hears all of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deployments import joining
from deployments.events import ServerEvent
from deployments.joining import Joining, identity
from deployments.reading import Reading
from models import (
    Accepted,
    AudioChunk,
    Finished,
    FinishReason,
    OverloadedError,
    Priority,
    Sampling,
    SynthesisRequest,
    VoicePrompt,
)
from tests.deployments.fake_engine import FakeEngine, frame

SEED = Sampling(seed=3)


def _request(text: str = "[frames 20]", **changes: Any) -> SynthesisRequest:
    return SynthesisRequest(text, sampling=SEED, **changes)


def _run(test: Callable[[FakeEngine, Joining], Awaitable[None]]) -> FakeEngine:
    engine = FakeEngine("base")

    async def within_seconds() -> None:
        async with asyncio.timeout(10):
            await test(engine, Joining(lambda request: Reading(engine, request, 400)))

    asyncio.run(within_seconds())
    return engine


async def _all(joined: Joining, request: SynthesisRequest, after_s: float = 0.0) -> list[ServerEvent]:
    await asyncio.sleep(after_s)
    return [event async for event in joined.events(request)]


def _frames(events: list[ServerEvent]) -> int:
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    samples = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_array_equal(samples, np.concatenate([frame(index) for index in range(len(samples) // 1920)]))
    return len(samples) // 1920


def test_late_joiners_hear_everything_from_the_first_chunk() -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        heard = await asyncio.gather(*(_all(joined, _request(), 0.02 * late) for late in range(4)))
        for events in heard:
            assert isinstance(events[0], Accepted)
            assert events[0].seed == 3
            assert _frames(events) == 20
            assert isinstance(events[-1], Finished)
            assert events[-1].reason is FinishReason.EOS

    assert len(_run(test).requests) == 1


def test_what_has_ended_is_computed_again() -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        await _all(joined, _request())
        await _all(joined, _request())

    assert len(_run(test).requests) == 2


def test_the_work_ends_when_the_last_one_has_left() -> None:
    async def test(engine: FakeEngine, joined: Joining) -> None:
        request = _request("[forever]")
        first, second = joined.events(request), joined.events(replace(request, request_id="other"))
        for events in (first, second, second):
            await anext(events)
        await first.aclose()
        assert isinstance(await anext(second), AudioChunk)
        assert not engine.aborted
        await second.aclose()
        assert engine.aborted == {request.request_id}

    _run(test)


def test_leaving_at_once_aborts_too_and_nobody_joins_what_is_dying() -> None:
    async def test(engine: FakeEngine, joined: Joining) -> None:
        first = joined.events(_request("[forever]", request_id="first"))
        await anext(first)
        await first.aclose()
        assert engine.aborted == {"first"}
        assert _frames(await _all(joined, _request(request_id="second"))) == 20

    assert [request.request_id for request in _run(test).requests] == ["first", "second"]


def test_each_joiner_keeps_its_own_deadline() -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        patient, hasty = await asyncio.gather(
            _all(joined, _request("[frames 60]", timeout_s=0.2)),
            _all(joined, _request("[frames 60]", timeout_s=0.1)),
        )
        assert isinstance(hasty[-1], Finished)
        assert hasty[-1].reason is FinishReason.DEADLINE
        assert isinstance(patient[-1], Finished)

    engine = _run(test)
    assert [timeout for _, timeout in engine.extended] == [0.2, 0.1]
    assert len(engine.requests) == 1


def test_a_reading_that_breaks_off_breaks_off_for_everybody() -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        for events in await asyncio.gather(*(_all(joined, _request("[fail 5]")) for _ in range(2))):
            assert isinstance(events[-1], Finished)
            assert events[-1].reason is FinishReason.ERROR

    assert len(_run(test).requests) == 1


def test_an_error_on_the_way_reaches_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Reading) -> Any:
        await asyncio.sleep(0.01)
        raise OverloadedError("on the way", 1.0)
        yield

    async def test(_engine: FakeEngine, joined: Joining) -> None:
        answers = await asyncio.gather(*(_all(joined, _request()) for _ in range(2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [OverloadedError, OverloadedError]

    monkeypatch.setattr(Reading, "spoken", broken)
    _run(test)


def test_a_refusal_leaves_nothing_to_join() -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        for _ in range(2):
            with pytest.raises(OverloadedError):
                await _all(joined, _request("[overloaded]"))

    assert not _run(test).requests


def test_a_long_reading_stops_keeping_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "MAX_KEPT_BYTES", 5 * 1920 * 4)

    async def test(_engine: FakeEngine, joined: Joining) -> None:
        early, late = await asyncio.gather(_all(joined, _request()), _all(joined, _request(), 0.06))
        assert _frames(early) == _frames(late) == 20

    assert len(_run(test).requests) == 2


def test_without_a_seed_every_request_is_its_own() -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        await asyncio.gather(*(_all(joined, SynthesisRequest("[frames 5]", sampling=Sampling())) for _ in range(2)))

    assert len(_run(test).requests) == 2


def test_what_changes_the_audio_or_its_turn_tells_requests_apart() -> None:
    voice = VoicePrompt(np.ones(4, np.float32), np.zeros((3, 16), np.int64), "text")
    request = _request(voice=voice)
    other = VoicePrompt(np.ones(4, np.float32), np.ones((3, 16), np.int64), "text")
    changes: list[dict[str, Any]] = [
        {"text": "Another."}, {"language": "german"}, {"sampling": Sampling(seed=4)}, {"max_frames": 7},
        {"sampling": Sampling(seed=3, top_k=1)}, {"whole": True}, {"priority": Priority.BATCH}, {"voice": other},
        {"voice": None}, {"voice": None, "description": "old"}, {"voice": None, "speaker": "Vivian"},
        {"text_at_once": True},
    ]  # fmt: skip
    identities = [identity(replace(request, **change)) for change in changes]
    assert len({identity(request), *identities}) == len(changes) + 1
    same = VoicePrompt(np.ones(4, np.float32), np.zeros((3, 16), np.int64), "text")
    assert identity(replace(request, voice=same, timeout_s=5.0, request_id="retry")) == identity(request)
