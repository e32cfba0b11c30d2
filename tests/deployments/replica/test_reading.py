"""Long texts: passage after passage, one stream."""

import asyncio
from dataclasses import replace

from deployments.contract import ServerEvent
from deployments.replica.reading import Reading
from models import Accepted, AudioChunk, Finished, FinishReason, Sampling, SynthesisRequest
from tests.deployments.fake_engine import FakeEngine

TEXT = "[frames 5] one two. [frames 3] three four. [frames 7] five."


def _read(engine: FakeEngine, request: SynthesisRequest, longest: int = 22) -> list[ServerEvent]:
    async def collect() -> list[ServerEvent]:
        async with asyncio.timeout(10):
            reading = Reading(engine, request, longest)
            return [reading.start(), *[event async for event in reading.spoken()]]

    return asyncio.run(collect())


def test_passages_are_one_stream() -> None:
    events = _read(FakeEngine("base"), SynthesisRequest(TEXT))
    assert isinstance(events[0], Accepted)
    assert sum(isinstance(event, Accepted | Finished) for event in events) == 2
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.frames, finished.reason) == (15, FinishReason.EOS)
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    expected = 0
    for chunk in chunks:
        assert chunk.first_frame == expected
        expected += chunk.frames
    assert expected == 15


def test_a_short_text_is_one_utterance_and_keeps_its_name() -> None:
    engine = FakeEngine("base")
    request = SynthesisRequest("[frames 4] short.", sampling=Sampling(seed=9), request_id="mine")
    assert isinstance(_read(engine, request)[-1], Finished)
    assert [(asked.request_id, asked.text) for asked in engine.requests] == [("mine", "[frames 4] short.")]


def test_every_passage_has_a_seed_of_its_own_that_repeats() -> None:
    seeds: list[list[int | None]] = []
    for _ in range(2):
        engine = FakeEngine("base")
        _read(engine, SynthesisRequest(TEXT, sampling=Sampling(seed=5)))
        seeds.append([asked.sampling.seed if asked.sampling else None for asked in engine.requests])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 3
    assert seeds[0][0] == 5


def test_limits_are_those_of_the_whole() -> None:
    engine = FakeEngine("base")
    _read(engine, replace(SynthesisRequest(TEXT), max_frames=7, timeout_s=50))
    assert [asked.max_frames for asked in engine.requests] == [7, 2]
    assert engine.requests[1].timeout_s is not None
    assert engine.requests[1].timeout_s < 50


def test_what_follows_is_announced_and_what_has_begun_is_not_refused() -> None:
    engine = FakeEngine("base")
    _read(engine, SynthesisRequest(TEXT))
    first, second, third = engine.requests
    assert [asked.begun for asked in engine.requests] == [False, True, True]
    assert (second.text_after, third.text_after) == (len(third.text), 0)
    assert first.text_after == len(second.text) + len(third.text)


def test_a_passage_without_letters_is_not_spoken() -> None:
    engine = FakeEngine("base")
    _read(engine, SynthesisRequest("[frames 3] a long text. ??????????????? [frames 3] another."), longest=24)
    assert [asked.text for asked in engine.requests] == ["[frames 3] a long text.", "[frames 3] another."]


def test_of_a_text_without_letters_the_first_passage_is_what_the_engine_is_asked_for() -> None:
    """Whether that can be spoken is the engine's to say: nothing of it is dropped without a word."""
    engine = FakeEngine("base")
    events = _read(engine, SynthesisRequest("?!?! ?!?! ?!?!. ?!?! ?!?! ?!?! ?!?!."), longest=16)
    [asked] = engine.requests
    assert not any(character.isalnum() for character in asked.text)
    assert isinstance(events[-1], Finished)
