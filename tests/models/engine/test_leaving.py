"""Who leaves, or is out of time, is out by the next frame step: steps are held still to see it."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models import FinishReason, Sampling, SpeechEngine, SynthesisRequest, load_engine
from models.engine.plan import Drawn, Prefilled
from models.engine.runner import Runner
from models.engine.sequence import Sequence
from models.language.sampling import CodeZeroRules
from tests.models.engine.engine_client import Recorder, becomes_idle, speech_request

PATIENCE_S = 30.0


class Steps:
    """Holds the engine in front of each piece of work until told to go on, and keeps what it did."""

    def __init__(self) -> None:
        self.done: list[list[str]] = []  # ids of the requests in each frame step
        self._arrived, self._go = threading.Semaphore(0), threading.Semaphore(0)
        self._open = threading.Event()

    def hold(self) -> None:
        if not self._open.is_set():
            self._arrived.release()
            assert self._go.acquire(timeout=PATIENCE_S)

    def wait(self) -> None:
        """Until the engine stands in front of a step."""
        assert self._arrived.acquire(timeout=PATIENCE_S)

    def go(self) -> None:
        """Let it do this step."""
        self._go.release()

    def go_on(self) -> None:
        """Let it do all steps."""
        self._open.set()
        self._go.release()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    held, frame_step = Steps(), Runner.frame_step

    def step(self: Runner, batch: list[Sequence]) -> list[Drawn]:
        held.hold()
        held.done.append([sequence.request.request_id for sequence in batch])
        return frame_step(self, batch)

    monkeypatch.setattr(Runner, "frame_step", step)
    monkeypatch.setattr(CodeZeroRules, "MINIMUM_FRAMES", 10_000)  # nobody ends early
    return held


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Callable[[str], Path]) -> Iterator[SpeechEngine]:
    options: dict[str, Any] = {"slots": 2, "max_positions": 1024, "runaway": None, "prefill_rows": 4}
    engine = load_engine(tiny_checkpoint("base"), "fp32", threads=1, **options)
    yield engine
    engine.close()


def _long(engine: SpeechEngine, **changes: Any) -> SynthesisRequest:
    request = speech_request(engine, 0, 200)
    return replace(request, sampling=Sampling(seed=1), request_id=uuid.uuid4().hex, **changes)


def test_an_abort_during_a_frame_step_ends_the_request_with_that_step(engine: SpeechEngine, steps: Steps) -> None:
    leaving, staying = _long(engine), _long(engine)
    left, stayed = Recorder(), Recorder()
    engine.submit(leaving, left)
    engine.submit(staying, stayed)
    for _ in range(3):
        steps.wait()
        steps.go()
    steps.wait()
    engine.abort(leaving.request_id)
    before = len(steps.done)
    steps.go_on()
    assert left.wait().reason is FinishReason.CANCELLED
    assert stayed.wait().reason is FinishReason.LENGTH
    assert not any(leaving.request_id in batch for batch in steps.done[before + 1 :])
    assert becomes_idle(engine)


def test_the_slot_of_one_who_left_is_given_away_in_the_next_step(engine: SpeechEngine, steps: Steps) -> None:
    running = [_long(engine), _long(engine)]
    for request in running:
        engine.submit(request, Recorder())
    for _ in range(3):
        steps.wait()
        steps.go()
    steps.wait()
    heard = Recorder()
    waiting = replace(speech_request(engine, 3, 5), request_id=uuid.uuid4().hex)
    engine.submit(waiting, heard)
    engine.abort(running[0].request_id)
    before = len(steps.done)
    steps.go()
    steps.wait()
    status = engine.status()
    assert (status.slots_used, status.waiting) == (2, 0)
    steps.go_on()
    heard.wait()
    assert not any(running[0].request_id in batch for batch in steps.done[before + 1 :])
    engine.abort(running[1].request_id)
    assert becomes_idle(engine)


TIMEOUT_S = 0.05


def _late(engine: SpeechEngine) -> SynthesisRequest:
    """Out of time soon; as it has begun before, it is not refused for that."""
    return _long(engine, timeout_s=TIMEOUT_S, begun=True)


def test_a_deadline_passes_while_waiting(engine: SpeechEngine, steps: Steps) -> None:
    others, late = [_long(engine), _long(engine)], Recorder()
    for request in others:
        engine.submit(request, Recorder())
    for _ in range(2):
        steps.wait()
        steps.go()
    steps.wait()
    engine.submit(_late(engine), late)
    time.sleep(2 * TIMEOUT_S)
    steps.go()
    steps.wait()
    assert late.wait().reason is FinishReason.DEADLINE
    steps.go_on()
    for request in others:
        engine.abort(request.request_id)
    assert becomes_idle(engine)


def test_a_deadline_passes_while_prefilling(engine: SpeechEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    prefill, pieces = Runner.prefill, 0

    def slowly(self: Runner, sequence: Sequence, rows: int) -> Prefilled:
        nonlocal pieces
        pieces += 1
        time.sleep(2 * TIMEOUT_S)
        return prefill(self, sequence, rows)

    monkeypatch.setattr(Runner, "prefill", slowly)
    late = Recorder()
    engine.submit(replace(_late(engine), text="several pieces " * 10, text_at_once=True), late)
    finished = late.wait()
    assert (finished.reason, finished.frames, pieces) == (FinishReason.DEADLINE, 0, 1)


def test_a_deadline_passes_while_running(engine: SpeechEngine, steps: Steps) -> None:
    late = Recorder()
    engine.submit(_late(engine), late)
    steps.wait()
    time.sleep(2 * TIMEOUT_S)
    steps.go_on()
    finished = late.wait()
    assert (finished.reason, finished.frames) == (FinishReason.DEADLINE, 1)
