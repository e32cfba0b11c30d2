"""Identical requests with a seed: one computation, everybody hears all of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deployments.contract import Repeat, ServerEvent
from deployments.replica import joining
from deployments.replica.joining import Joining, identity
from deployments.replica.reading import Reading
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
        hasty, patient = await asyncio.gather(
            _all(joined, _request("[frames 200]", timeout_s=0.5)),
            _all(joined, _request("[frames 200]", timeout_s=8.0)),
        )
        assert isinstance(hasty[-1], Finished)
        assert hasty[-1].reason is FinishReason.DEADLINE
        assert 0 < _frames(hasty) < 200
        assert isinstance(patient[-1], Finished)
        assert patient[-1].reason is FinishReason.EOS
        assert _frames(patient) == 200

    engine = _run(test)
    assert [timeout for _, timeout in engine.extended] == [0.5, 8.0]
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


def test_a_long_reading_that_ends_takes_nothing_from_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "MAX_KEPT_BYTES", 5 * 1920 * 4)

    async def test(_engine: FakeEngine, joined: Joining) -> None:
        long = joined.events(_request("[forever]", request_id="long"))
        await _hear(long, 8)
        newer = joined.events(_request("[forever]", request_id="newer"))
        await anext(newer)
        await long.aclose()
        third = joined.events(_request("[forever]", request_id="third"))
        await anext(third)
        for events in (newer, third):
            await events.aclose()

    assert [request.request_id for request in _run(test).requests] == ["long", "newer"]


async def _hear(events: AsyncGenerator[ServerEvent], frames: int) -> None:
    while frames > 0:
        event = await anext(events)
        frames -= event.frames if isinstance(event, AudioChunk) else 0


def test_without_a_seed_every_request_is_its_own() -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        await asyncio.gather(*(_all(joined, SynthesisRequest("[frames 5]")) for _ in range(2)))

    assert len(_run(test).requests) == 2


OPENAI, NAMED = Repeat(b"client", named=False), Repeat(b"client and key", named=True)
UNSEEDED = SynthesisRequest("[frames 20]", request_id="first")


async def _leave(joined: Joining, request: SynthesisRequest, repeat: Repeat, having: int = 0) -> None:
    """Ask and go away, having heard so many pieces."""
    events = joined.events(request, repeat)
    for _ in range(1 + having):
        await anext(events)
    await events.aclose()


@pytest.mark.parametrize("repeat", [OPENAI, NAMED])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("away_s", [0.0, 0.05, 0.3])  # before, while and after it is spoken
def test_who_comes_again_gets_what_was_begun(repeat: Repeat, whole: bool, away_s: float) -> None:
    async def test(engine: FakeEngine, joined: Joining) -> None:
        await _leave(joined, replace(UNSEEDED, whole=whole), repeat, having=int(whole))
        events = await _all_again(joined, replace(UNSEEDED, whole=whole, request_id="again"), repeat, away_s)
        assert isinstance(events[0], Accepted)
        assert _frames(events) == 20
        assert isinstance(events[-1], Finished)
        assert events[-1].reason is FinishReason.EOS
        assert not engine.aborted

    assert [request.request_id for request in _run(test).requests] == ["first"]


async def _all_again(
    joined: Joining, request: SynthesisRequest, repeat: Repeat, after_s: float = 0.0
) -> list[ServerEvent]:
    await asyncio.sleep(after_s)
    return [event async for event in joined.events(request, repeat)]


async def _until_aborted(engine: FakeEngine) -> None:
    while not engine.aborted:
        await asyncio.sleep(0.01)


def test_what_nobody_comes_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "GRACE_S", 0.5)

    async def test(engine: FakeEngine, joined: Joining) -> None:
        await _leave(joined, replace(UNSEEDED, text="[forever]"), OPENAI)
        await asyncio.sleep(0.1)
        assert not engine.aborted
        await _until_aborted(engine)
        assert engine.aborted == {"first"}
        assert _frames(await _all_again(joined, replace(UNSEEDED, request_id="again"), OPENAI)) == 20

    assert len(_run(test).requests) == 2


def test_who_comes_again_may_leave_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "GRACE_S", 0.5)

    async def test(engine: FakeEngine, joined: Joining) -> None:
        request = replace(UNSEEDED, text="[forever]", whole=True)
        for _ in range(4):
            await _leave(joined, request, OPENAI)
            await asyncio.sleep(0.2)
        assert not engine.aborted
        await _until_aborted(engine)
        assert engine.aborted == {"first"}

    assert len(_run(test).requests) == 1


def test_who_has_had_some_of_it_does_not_come_again() -> None:
    async def test(engine: FakeEngine, joined: Joining) -> None:
        await _leave(joined, replace(UNSEEDED, text="[forever]"), OPENAI, having=1)
        assert engine.aborted == {"first"}

    _run(test)


@pytest.mark.parametrize(
    ("request_again", "repeat"),
    [
        (UNSEEDED, Repeat(b"another client", named=False)),
        (UNSEEDED, None),
        (replace(UNSEEDED, text="[frames 20] Another."), OPENAI),
        (replace(UNSEEDED, whole=True), OPENAI),
    ],
)
def test_what_is_not_the_same_again_is_begun_anew(request_again: SynthesisRequest, repeat: Repeat | None) -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        await _leave(joined, UNSEEDED, OPENAI)
        again = joined.events(replace(request_again, request_id="again"), repeat)
        assert _frames([event async for event in again]) == 20

    assert [request.request_id for request in _run(test).requests] == ["first", "again"]


@pytest.mark.parametrize(("repeat", "computed"), [(OPENAI, 2), (NAMED, 1)])
def test_two_alike_at_once_are_one_only_if_they_have_one_name(repeat: Repeat, computed: int) -> None:
    async def test(_engine: FakeEngine, joined: Joining) -> None:
        for events in await asyncio.gather(*(_all_again(joined, UNSEEDED, repeat, 0.02 * late) for late in range(2))):
            assert _frames(events) == 20

    assert len(_run(test).requests) == computed


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
