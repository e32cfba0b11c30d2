"""Two classes in one engine: batch work gives way at once, comes back, and is none the worse for it."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import FinishReason, OverloadedError, Priority, Samples, SpeechEngine, SynthesisRequest, load_engine
from models.language.sampling import CodeZeroRules
from tests.models.engine.engine_client import Recorder, becomes_idle, speech_request


@pytest.fixture(scope="module", autouse=True)
def _nobody_ends_early() -> Iterator[None]:
    """Random weights end when they like; here every request takes all its frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CodeZeroRules, "MINIMUM_FRAMES", 10_000)
        yield


def _load(checkpoint: Path, **options: Any) -> SpeechEngine:
    return load_engine(checkpoint, "fp32", threads=1, max_positions=1024, runaway=None, **options)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Callable[[str], Path]) -> Iterator[SpeechEngine]:
    engine = _load(tiny_checkpoint("base"), slots=2)
    yield engine
    engine.close()


def _batch(request: SynthesisRequest) -> SynthesisRequest:
    return replace(request, priority=Priority.BATCH)


def _long(engine: SpeechEngine, frames: int = 300, **changes: Any) -> SynthesisRequest:
    return replace(speech_request(engine, 0, frames), request_id=uuid.uuid4().hex, **changes)


class Speaking(threading.Thread):
    """Hears a request to its end; the samples say whether all its codes were the same."""

    def __init__(self, engine: SpeechEngine, request: SynthesisRequest) -> None:
        super().__init__()
        self.samples: Samples | None = None
        self._stream = engine.stream(replace(request, request_id=uuid.uuid4().hex))
        self.start()

    def run(self) -> None:
        self.samples = np.concatenate(list(self._stream))


@settings(max_examples=12, deadline=None)
@given(
    mix=st.lists(
        st.tuples(
            st.integers(0, 30),  # which request
            st.integers(1, 25),  # frames
            st.floats(0, 0.02),  # arrives after the one before, seconds
            st.booleans(),  # batch
        ),
        min_size=2,
        max_size=8,
    )
)
def test_any_mix_of_both_classes_gives_each_request_what_it_gets_alone(
    engine: SpeechEngine, mix: list[tuple[int, int, float, bool]]
) -> None:
    speaking: list[tuple[Speaking, SynthesisRequest]] = []
    for number, frames, pause, batch in mix:
        request = speech_request(engine, number, frames)
        time.sleep(pause)
        speaking.append((Speaking(engine, _batch(request) if batch else request), request))
    for thread, _ in speaking:
        thread.join(60)
    for thread, request in speaking:
        assert thread.samples is not None
        alone = np.concatenate(list(engine.stream(request)))
        np.testing.assert_array_equal(thread.samples, alone)
    assert becomes_idle(engine)


@pytest.mark.parametrize(("backend", "frames"), [("auto", 100), ("torch", 12)])
def test_batch_work_that_lost_its_slot_many_times_says_the_same(
    tiny_checkpoint: Callable[[str], Path], backend: str, frames: int
) -> None:
    engine = _load(tiny_checkpoint("base"), slots=2, backend=backend)
    requests = [_batch(speech_request(engine, number, frames)) for number in (1, 2)]
    alone = [engine.generate_codes(request) for request in requests]
    answers: list[Any] = [None, None]

    def ask(index: int) -> None:
        answers[index] = engine.generate_codes(replace(requests[index], request_id=f"batch-{index}"))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        engine.generate_codes(replace(speech_request(engine, 3, 2), request_id=uuid.uuid4().hex))
        time.sleep(0.005)
    preempted = engine.status().preempted
    engine.close()
    for index in range(2):
        np.testing.assert_array_equal(answers[index], alone[index])
    assert preempted > 1


def test_interactive_work_takes_a_slot_from_batch_work(engine: SpeechEngine) -> None:
    batch, interactive = [Recorder(), Recorder()], Recorder()
    for recorder in batch:
        engine.submit(_batch(_long(engine)), recorder)
        assert recorder.first.wait(30)
    request = speech_request(engine, 3, frames=10)
    accepted = engine.submit(request, interactive)
    assert (accepted.queue_position, accepted.eta_s) == (0, 0.0)
    assert interactive.wait().reason is FinishReason.LENGTH
    assert not any(recorder.ends for recorder in batch)
    assert {recorder.wait().reason for recorder in batch} == {FinishReason.LENGTH}
    assert becomes_idle(engine)


def test_batch_work_stands_still_while_interactive_work_moves(engine: SpeechEngine) -> None:
    batch, interactive = Recorder(), Recorder()
    engine.submit(_batch(_long(engine)), batch)
    assert batch.first.wait(30)
    request = _long(engine)
    engine.submit(request, interactive)
    assert interactive.first.wait(30)
    heard = len(batch.chunks)
    interactive.wait()
    assert len(batch.chunks) <= heard + 1
    assert batch.wait().reason is FinishReason.LENGTH


def test_batch_work_that_starves_is_answered_by_its_deadline(engine: SpeechEngine) -> None:
    interactive, batch = _long(engine), Recorder()
    engine.submit(_batch(_long(engine, timeout_s=0.2)), batch)
    engine.submit(interactive, Recorder())
    finished = batch.wait()
    engine.abort(interactive.request_id)
    assert finished.reason is FinishReason.DEADLINE
    assert becomes_idle(engine)


@pytest.mark.parametrize("how", ["abort", "deadline"])
def test_batch_work_can_end_while_it_has_no_slot(engine: SpeechEngine, how: str) -> None:
    recorders = [Recorder(), Recorder()]
    batch = [_batch(_long(engine, timeout_s=1.0 if how == "deadline" else None)) for _ in recorders]
    for request, recorder in zip(batch, recorders, strict=True):
        engine.submit(request, recorder)
        assert recorder.first.wait(30)
    interactive = [_long(engine), _long(engine)]
    for request in interactive:
        engine.submit(request, Recorder())
    while engine.status().waiting_batch < 2:
        assert not any(recorder.ends for recorder in recorders)
    if how == "abort":
        for request in batch:
            engine.abort(request.request_id)
    reasons = {recorder.wait().reason for recorder in recorders}
    assert reasons == {FinishReason.CANCELLED if how == "abort" else FinishReason.DEADLINE}
    for request in interactive:
        engine.abort(request.request_id)
    assert becomes_idle(engine)


def test_a_deadline_can_be_put_off_but_not_brought_forward(engine: SpeechEngine) -> None:
    short, recorder = _long(engine, frames=150, timeout_s=0.1), Recorder()
    engine.submit(short, recorder)
    engine.extend(short.request_id, 60.0)
    engine.extend(short.request_id, 0.001)
    engine.extend("never heard of", 1.0)
    assert recorder.wait().reason is FinishReason.LENGTH


def test_a_full_engine_refuses_and_counts(tiny_checkpoint: Callable[[str], Path]) -> None:
    engine = _load(tiny_checkpoint("base"), slots=1, max_waiting=2)
    try:
        recorders = [Recorder() for _ in range(3)]
        places = [engine.submit(_long(engine), recorder).queue_position for recorder in recorders]
        with pytest.raises(OverloadedError) as refusal:
            engine.submit(_long(engine), Recorder())
        status = engine.status()
        with pytest.raises(OverloadedError):
            engine.synthesize(_long(engine))
    finally:
        engine.close()
    assert places == [0, 1, 2]
    assert refusal.value.retry_after_s > 0
    assert (status.slots_used + status.waiting, status.rejected) == (3, 1)
    assert status.queued_audio_seconds > 0
    outcomes = engine.status().outcomes
    assert sum(outcomes.values()) == outcomes[FinishReason.CANCELLED] == 3


def test_a_measured_engine_refuses_what_would_start_too_late(tiny_checkpoint: Callable[[str], Path]) -> None:
    engine = _load(tiny_checkpoint("base"), slots=1)
    try:
        for _ in range(3):
            engine.generate_codes(_long(engine, frames=100))
        engine.submit(_long(engine), Recorder())
        predicted = engine.submit(_long(engine), Recorder()).eta_s
        with pytest.raises(OverloadedError) as refusal:
            engine.submit(_long(engine, timeout_s=predicted), Recorder())
        engine.submit(_long(engine, timeout_s=predicted * 10), Recorder())
    finally:
        engine.close()
    assert 0 < refusal.value.retry_after_s < predicted * 2
