"""Nobody is hurt by a neighbour: whatever raises, wherever, costs one request at the most, and all others say exactly
what they say alone."""

import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import Priority, Samples, SpeechEngine, SynthesisRequest, load_engine
from models.codec.codec import Primer
from models.engine.engine import Engine
from models.engine.plan import Drawn, Prefilled
from models.engine.prefix_cache import PrefixCache
from models.engine.runaway import RunawayLimits
from models.engine.runner import Runner
from models.engine.sequence import Sequence
from models.language.decoder_stack import KeyValueCache
from models.language.prompt import PromptBuilder
from models.language.sampling import CodeZeroRules
from models.language.talker import Talker
from models.native.codec import NativeCodec
from models.native.predictor import NativeCodePredictor
from tests.models.engine.engine_client import Recorder, becomes_idle, speech_request

# Everything that a piece of work calls and that allocates or computes.
PLACES: tuple[tuple[type, str], ...] = (
    (PromptBuilder, "build"),
    (PrefixCache, "get"),
    (PrefixCache, "put"),
    (KeyValueCache, "snapshot"),
    (KeyValueCache, "restore"),
    (Talker, "forward"),
    (Talker, "logits"),
    (Talker, "embed_codes"),
    (NativeCodePredictor, "predict"),
    (NativeCodePredictor, "embed"),
    (NativeCodec, "clear"),
    (NativeCodec, "advance"),
    (NativeCodec, "decode"),
    (NativeCodec, "snapshot"),
    (NativeCodec, "restore"),
    (Primer, "advance"),
    (Runner, "_draw_first_codes"),
)
ERRORS: tuple[Exception, ...] = (
    ValueError("a fault"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
)


@dataclass
class Fault:
    """One call of a method that raises, before it does its work or right after it."""

    place: tuple[type, str]
    number: int  # of the call, from 0
    error: Exception
    after: bool
    calls: int = field(default=0, init=False)

    @contextmanager
    def injected(self) -> Generator[None]:
        owner, name = self.place
        method: Callable[..., Any] = getattr(owner, name)

        def failing(*arguments: Any, **named: Any) -> Any:
            strikes = self.calls == self.number
            self.calls += 1
            if strikes and not self.after:
                raise self.error
            result = method(*arguments, **named)
            if strikes:
                raise self.error
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, failing)
            yield


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Callable[[str], Path]) -> Iterator[SpeechEngine]:
    # Runaways everywhere: whole requests are drawn again half-way, streams are cut.
    limits = RunawayLimits(base_frames=10, frames_per_token=1.0)
    engine = load_engine(
        tiny_checkpoint("base"), "fp32", threads=1, slots=3, max_positions=512, prefill_rows=16, runaway=limits
    )
    yield engine
    engine.close()


@pytest.fixture(scope="module", autouse=True)
def _nobody_ends_early() -> Iterator[None]:
    """Random weights end when they like; here every request takes all its frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CodeZeroRules, "MINIMUM_FRAMES", 10_000)
        yield


def _as_if_new(engine: SpeechEngine) -> None:
    """Nothing is known of any voice."""
    assert isinstance(engine, Engine)
    engine._prefixes.clear()  # pyright: ignore[reportPrivateUsage] - it is idle, and nobody looks on


def _request(engine: SpeechEngine, number: int, whole: bool, batch: bool) -> SynthesisRequest:
    request = speech_request(engine, number, frames=40)
    priority = Priority.BATCH if batch else Priority.INTERACTIVE
    sampling = replace(request.sampling, seed=number)
    return replace(request, sampling=sampling, whole=whole, priority=priority, request_id=uuid.uuid4().hex)


def _heard(recorder: Recorder) -> Samples:
    return np.concatenate([chunk.samples for chunk in recorder.chunks] or [np.zeros(0, np.float32)])


def _together(engine: SpeechEngine, requests: list[SynthesisRequest]) -> list[Recorder]:
    recorders = [Recorder() for _ in requests]
    for request, recorder in zip(requests, recorders, strict=True):
        engine.submit(request, recorder)
    for recorder in recorders:
        recorder.wait()
    return recorders


def _alone(engine: SpeechEngine, request: SynthesisRequest) -> Recorder:
    [recorder] = _together(engine, [replace(request, request_id=uuid.uuid4().hex)])
    return recorder


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mix=st.lists(st.tuples(st.integers(0, 11), st.booleans(), st.booleans()), min_size=2, max_size=5),
    place=st.sampled_from(PLACES),
    number=st.integers(0, 40),
    error=st.sampled_from(ERRORS),
    after=st.booleans(),
)
def test_a_fault_anywhere_costs_one_request_at_the_most(
    engine: SpeechEngine,
    mix: list[tuple[int, bool, bool]],
    place: tuple[type, str],
    number: int,
    error: Exception,
    after: bool,
) -> None:
    _as_if_new(engine)
    requests = [_request(engine, *chosen) for chosen in mix]
    fault = Fault(place, number, error, after)
    with fault.injected():
        recorders = _together(engine, requests)
    ends = [recorder.ends[0] for recorder in recorders]
    assert sum(end.reason.failed for end in ends) <= 1
    for request, recorder, end in zip(requests, recorders, ends, strict=True):
        if not end.reason.failed:
            alone = _alone(engine, request)
            np.testing.assert_array_equal(_heard(recorder), _heard(alone))
            expected = alone.ends[0]
            assert (end.reason, end.frames, end.seed) == (expected.reason, expected.frames, expected.seed)
    assert becomes_idle(engine)
    assert engine.healthy()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0].__name__}.{place[1]}")
def test_every_place_is_reached(engine: SpeechEngine, place: tuple[type, str]) -> None:
    """The property above says nothing of a place that its requests never come to."""
    _as_if_new(engine)
    counted = Fault(place, -1, ValueError(), after=False)
    requests = [_request(engine, number, whole=number == 1, batch=number == 2) for number in (1, 2, 1, 4)]
    with counted.injected():
        _together(engine, requests)
        _together(engine, [replace(request, request_id=uuid.uuid4().hex) for request in requests])
    assert counted.calls > 0


def test_who_is_at_fault_goes_alone_and_the_others_take_the_same_step(
    engine: SpeechEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request on which every frame step fails, in whatever company."""
    requests = [_request(engine, number, whole=False, batch=False) for number in (1, 2, 3)]
    guilty = requests[1].request_id
    frame_step = Runner.frame_step

    def fails(self: Runner, batch: list[Any]) -> Any:
        if any(sequence.request.request_id == guilty and sequence.frames == 5 for sequence in batch):
            raise ValueError("not with this one")
        return frame_step(self, batch)

    monkeypatch.setattr(Runner, "frame_step", fails)
    recorders = _together(engine, requests)
    monkeypatch.undo()
    assert [recorder.ends[0].reason.failed for recorder in recorders] == [False, True, False]
    assert recorders[1].ends[0].error == "ValueError: not with this one"
    for index in (0, 2):
        np.testing.assert_array_equal(_heard(recorders[index]), _heard(_alone(engine, requests[index])))


def test_a_runaway_that_is_drawn_again_holds_nobody_up(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clip is gone through again piece by piece, between frame steps of the others."""
    limits = RunawayLimits(base_frames=4, frames_per_token=4.0)
    engine = load_engine(
        tiny_checkpoint("base"), "fp32", threads=1, slots=2, max_positions=512, prefill_rows=2, runaway=limits,
        prefix_bytes=0,
    )  # fmt: skip
    pieces: list[str] = []
    prefill, frame_step = Runner.prefill, Runner.frame_step

    def noted_prefill(self: Runner, sequence: Sequence, rows: int) -> Prefilled:
        pieces.append("again" if sequence.retried else "first")
        return prefill(self, sequence, rows)

    def noted_frame(self: Runner, batch: list[Sequence]) -> list[Drawn]:
        pieces.append("frame")
        return frame_step(self, batch)

    monkeypatch.setattr(Runner, "prefill", noted_prefill)
    monkeypatch.setattr(Runner, "frame_step", noted_frame)
    short, long = Recorder(), Recorder()
    try:
        engine.submit(speech_request(engine, 5, frames=400), long)
        assert long.first.wait(30)
        engine.submit(replace(speech_request(engine, 12, frames=60), whole=True), short)
        assert short.wait().retried
        long.wait()
    finally:
        engine.close()
    assert pieces.count("again") > 5, "a clip of 45 frames takes many pieces of two rows"
    begin = pieces.index("again")
    end = len(pieces) - pieces[::-1].index("again")
    assert all(pieces[place] != pieces[place + 1] for place in range(begin, end - 1)), "each between two frames"
