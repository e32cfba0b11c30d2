"""The engine: batches that change nothing, ends with a reason, nothing lost."""

import queue
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

from models import (
    Codes,
    EngineClosedError,
    FinishReason,
    GenerationError,
    InvalidRequestError,
    OverloadedError,
    Sampling,
    SpeechEngine,
    SpeechEvent,
    SynthesisRequest,
    VoicePrompt,
    load_engine,
)
from models.engine.options import ChunkPolicy
from models.engine.plan import Decoded, Drawn
from models.engine.runaway import RunawayLimits
from models.engine.runner import Runner
from models.engine.sequence import Sequence
from models.language.prompt import Prompt, PromptBuilder
from models.text.layout import Layout
from tests.models.engine.engine_client import TEXTS, Recorder, becomes_idle, some_voice, speech_request


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Callable[[str], Path]) -> Iterator[SpeechEngine]:
    engine = load_engine(tiny_checkpoint("base"), "fp32", threads=1, slots=4, max_positions=1024, runaway=None)
    yield engine
    engine.close()


def test_a_seed_gives_the_same_codes_alone_and_in_company(engine: SpeechEngine) -> None:
    requests = [speech_request(engine, number, frames=6 + number) for number in range(6)]
    alone = [engine.generate_codes(request) for request in requests]
    answers: dict[int, Codes] = {}

    def ask(index: int) -> None:
        answers[index] = engine.generate_codes(replace(requests[index], request_id=f"together-{index}"))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, codes in enumerate(alone):
        np.testing.assert_array_equal(answers[index], codes)
    assert len({codes.tobytes() for codes in alone}) == len(alone), "different seeds speak differently"


class _Asking(threading.Thread):
    """Asks for the codes of a request and keeps the answer."""

    def __init__(self, engine: SpeechEngine, request: SynthesisRequest) -> None:
        super().__init__()
        self.request = request
        self.codes: Codes | None = None
        self.error: GenerationError | OverloadedError | None = None
        self._engine = engine
        self.start()

    def run(self) -> None:
        try:
            self.codes = self._engine.generate_codes(self.request)
        except (GenerationError, OverloadedError) as error:  # late already, or seen beforehand to be too late
            self.error = error


@settings(max_examples=50, deadline=None)
@given(
    mix=st.lists(
        st.tuples(
            st.integers(0, 30),  # which request
            st.integers(1, 25),  # frames
            st.floats(0, 0.02),  # arrives after the one before, seconds
            st.sampled_from(["stay", "stay", "stay", "abort", "deadline"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_mix_gives_each_request_what_it_gets_alone(
    engine: SpeechEngine, mix: list[tuple[int, int, float, str]]
) -> None:
    asking: list[_Asking] = []
    for number, frames, pause, fate in mix:
        request = replace(speech_request(engine, number, frames), request_id=uuid.uuid4().hex)
        time.sleep(pause)
        asking.append(_Asking(engine, replace(request, timeout_s=0.03) if fate == "deadline" else request))
        if fate == "abort":
            engine.abort(request.request_id)
    for thread, (_, _, _, fate) in zip(asking, mix, strict=True):
        thread.join(60)
        assert not thread.is_alive()
        assert (thread.codes is None) != (thread.error is None), "answered exactly once"
        assert thread.error is None or fate != "stay"
        if thread.codes is not None:
            alone = engine.generate_codes(replace(thread.request, timeout_s=None))
            np.testing.assert_array_equal(thread.codes, alone)
    assert becomes_idle(engine)


def test_streamed_and_whole_audio_are_the_same(engine: SpeechEngine) -> None:
    request = speech_request(engine, 1, frames=30)
    stream = engine.stream(request)
    chunks = list(stream)
    assert stream.finished is not None
    assert len(chunks) > 2
    assert len(chunks[0]) == 2 * 1920, "the first chunk is short, for the time to first audio"
    np.testing.assert_allclose(np.concatenate(chunks), engine.synthesize(request), atol=1e-5)


def test_a_drawn_seed_is_reported_and_can_be_used_again(engine: SpeechEngine) -> None:
    request = replace(speech_request(engine, 2), sampling=Sampling())
    stream = engine.stream(request)
    first = np.concatenate(list(stream))
    assert stream.finished is not None
    assert stream.finished.seed == stream.seed
    again = engine.synthesize(replace(request, sampling=Sampling(seed=stream.seed)))
    np.testing.assert_allclose(again, first, atol=1e-5)


def test_a_clip_with_more_text_than_frames_speaks_again_as_it_did_before(engine: SpeechEngine) -> None:
    """Beside such a clip no position of the prompt depends on what is to be spoken."""
    voice = replace(some_voice(engine, 1), reference_text="Far too much for a clip of two seconds to say. " * 4)
    request = replace(speech_request(engine, 1), voice=voice, text_at_once=False)
    first = engine.generate_codes(request)
    engine.generate_codes(replace(request, text="Another text."))
    np.testing.assert_array_equal(engine.generate_codes(request), first)


def test_a_late_short_request_does_not_wait_for_a_long_one(engine: SpeechEngine) -> None:
    long, short = Recorder(), Recorder()
    request = speech_request(engine, 0, frames=750)  # 60 s
    engine.submit(replace(request, sampling=Sampling(seed=5)), long)
    assert long.first.wait(30)
    engine.submit(speech_request(engine, 3, frames=25), short)  # 2 s
    short.wait()
    still_running = not long.ends
    engine.abort(request.request_id)
    assert long.wait().reason is FinishReason.CANCELLED
    assert still_running


def test_abort_is_safe_at_every_moment(engine: SpeechEngine) -> None:
    engine.abort("never heard of")
    recorders = [Recorder() for _ in range(7)]
    requests = [speech_request(engine, number, frames=200) for number in range(7)]
    for request, recorder in zip(requests, recorders, strict=True):
        engine.submit(request, recorder)  # more than there are slots: some wait
    for request in reversed(requests):
        engine.abort(request.request_id)
        engine.abort(request.request_id)
    assert all(recorder.wait().reason is FinishReason.CANCELLED for recorder in recorders)
    engine.abort(requests[0].request_id)
    assert becomes_idle(engine)


def test_the_engines_own_deadline_ends_a_request(engine: SpeechEngine) -> None:
    recorder = Recorder()
    engine.submit(replace(speech_request(engine, 1, frames=400), timeout_s=0.02), recorder)
    finished = recorder.wait()
    assert finished.reason is FinishReason.DEADLINE
    assert finished.total_s < 5


def test_leaving_a_stream_early_frees_its_slot(engine: SpeechEngine) -> None:
    for _ in engine.stream(speech_request(engine, 4, frames=400)):
        break
    assert becomes_idle(engine)


def test_a_listener_that_raises_costs_only_its_own_request(engine: SpeechEngine) -> None:
    def bad(_: SpeechEvent) -> None:
        raise ValueError("not today")

    good = Recorder()
    engine.submit(speech_request(engine, 1, frames=30), bad)
    engine.submit(speech_request(engine, 2, frames=10), good)
    assert good.wait().reason in (FinishReason.EOS, FinishReason.LENGTH)
    assert becomes_idle(engine)


def test_a_prompt_that_cannot_be_built_costs_only_its_own_request(
    engine: SpeechEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, bad_voice = PromptBuilder.build, some_voice(engine, 1)

    def broken(self: PromptBuilder, layout: Layout) -> Prompt:
        if layout.voice is bad_voice:
            raise ValueError("nothing for this one")
        return build(self, layout)

    monkeypatch.setattr(PromptBuilder, "build", broken)
    bad, good = Recorder(), Recorder()
    engine.submit(replace(speech_request(engine, 1), voice=bad_voice), bad)
    engine.submit(speech_request(engine, 2, frames=10), good)
    finished = bad.wait()
    assert (finished.reason, finished.error) == (FinishReason.ERROR, "ValueError: nothing for this one")
    assert good.wait().reason in (FinishReason.EOS, FinishReason.LENGTH)
    assert becomes_idle(engine)
    assert engine.healthy()


@pytest.mark.parametrize("where", ["hidden", "samples"])
def test_numbers_that_are_not_finite_end_their_own_sequence(
    where: str, engine: SpeechEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned, healthy = Recorder(), Recorder()
    frame_step, decode = Runner.frame_step, Runner.decode
    expected = engine.synthesize(speech_request(engine, 2, frames=10))

    def poison_frame(self: Runner, batch: list[Sequence]) -> list[Drawn]:
        for sequence in batch:
            if sequence.listener is poisoned and sequence.frames > 5:
                assert sequence.standing is not None
                sequence.standing.hidden[3] = np.nan
        return frame_step(self, batch)

    def poison_samples(self: Runner, batch: list[Sequence], frames: int) -> list[Decoded]:
        decoded = decode(self, batch, frames)
        return [replace(each, finite=False) if each.sequence.listener is poisoned else each for each in decoded]

    monkeypatch.setattr(Runner, *(("frame_step", poison_frame) if where == "hidden" else ("decode", poison_samples)))
    engine.submit(replace(speech_request(engine, 0, frames=50), sampling=Sampling(seed=5)), poisoned)
    engine.submit(speech_request(engine, 2, frames=10), healthy)
    finished = poisoned.wait()
    assert finished.reason is FinishReason.ERROR
    assert finished.error is not None
    assert "not finite" in finished.error
    assert all(np.isfinite(chunk.samples).all() for chunk in poisoned.chunks)
    assert healthy.wait().reason in (FinishReason.EOS, FinishReason.LENGTH)
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in healthy.chunks]), expected)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"voice": None}, "voice"),
        ({"language": "klingon"}, "language"),
        ({"speaker": "vivian", "voice": None}, "voice"),
        ({"max_frames": 5000}, "max_frames"),
        ({"text": "word " * 2000, "max_frames": None}, "text"),
        ({"voice": VoicePrompt(np.ones(7, np.float32))}, "voice"),
        ({"voice": VoicePrompt(np.ones(128, np.float32), np.full((3, 16), 512), "text")}, "voice"),
        ({"voice": VoicePrompt(np.ones(128, np.float32), np.zeros((3, 15), np.int64), "text")}, "voice"),
    ],
)
def test_what_cannot_be_spoken_is_refused_before_it_is_queued(
    engine: SpeechEngine, changes: dict[str, object], field: str
) -> None:
    before = engine.status().requests
    with pytest.raises(InvalidRequestError) as error:
        engine.submit(replace(speech_request(engine, 1), **changes), lambda _: None)  # pyright: ignore[reportArgumentType]
    assert error.value.field == field
    assert engine.status().requests == before


def test_close_answers_everybody(tiny_checkpoint: Callable[[str], Path]) -> None:
    engine = load_engine(tiny_checkpoint("base"), "fp32", threads=1, slots=1, max_positions=512)
    recorders = [Recorder() for _ in range(3)]
    for number, recorder in enumerate(recorders):
        engine.submit(speech_request(engine, number, frames=300), recorder)
    engine.close()
    assert all(recorder.wait().reason is FinishReason.CANCELLED for recorder in recorders)
    assert not engine.healthy()
    with pytest.raises(EngineClosedError):
        engine.submit(speech_request(engine, 0), recorders[0])


def test_a_runaway_is_drawn_again_once_and_then_cut(tiny_checkpoint: Callable[[str], Path]) -> None:
    limits = RunawayLimits(base_frames=10, frames_per_token=1.0)
    options: dict[str, Any] = {"threads": 1, "slots": 2, "max_positions": 512, "runaway": limits}
    engine = load_engine(tiny_checkpoint("base"), "fp32", **options)
    try:
        request = replace(speech_request(engine, 0, frames=300), sampling=Sampling(seed=5), whole=True)
        whole, streamed = Recorder(), Recorder()
        engine.submit(request, whole)
        assert whole.wait().retried
        assert whole.wait().reason is FinishReason.RUNAWAY
        engine.submit(replace(request, whole=False, request_id="streamed"), streamed)
        finished = streamed.wait()
    finally:
        engine.close()
    assert finished.reason is FinishReason.RUNAWAY
    assert not finished.retried, "something was heard, so there is no second attempt"
    assert finished.frames <= limits.longest(len(TEXTS[0])) + 1


def test_chunks_grow_from_first_to_largest(tiny_checkpoint: Callable[[str], Path]) -> None:
    options: dict[str, Any] = {
        "threads": 1,
        "slots": 1,
        "max_positions": 512,
        "chunks": ChunkPolicy(first=1, growth=3, largest=5),
    }
    engine = load_engine(tiny_checkpoint("base"), "fp32", **options)
    try:
        recorder = Recorder()
        engine.submit(replace(speech_request(engine, 0, frames=20), sampling=Sampling(seed=5)), recorder)
        recorder.wait()
    finally:
        engine.close()
    assert [chunk.frames for chunk in recorder.chunks] == [1, 3, 5, 5, 5, 1]
    assert [chunk.first_frame for chunk in recorder.chunks] == [0, 1, 4, 9, 14, 19]


def test_bf16_speaks_and_stays_near_fp32(tiny_checkpoint: Callable[[str], Path]) -> None:
    events: queue.SimpleQueue[SpeechEvent] = queue.SimpleQueue()
    engine = load_engine(tiny_checkpoint("voice_design"), "bf16", threads=1, slots=2, max_positions=512)
    try:
        engine.submit(SynthesisRequest(TEXTS[1], description="A deep voice", max_frames=10), events.put)
        samples = engine.synthesize(SynthesisRequest(TEXTS[1], sampling=Sampling(seed=1), max_frames=25))
    finally:
        engine.close()
    assert 0.05 < np.abs(samples).max() <= 1.0


def test_when_memory_runs_out_the_last_one_in_makes_room_and_the_others_do_not_notice(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(tiny_checkpoint("base"), "fp32", threads=1, slots=4, max_positions=1024, runaway=None)
    alone = [engine.generate_codes(speech_request(engine, number)) for number in range(2)]
    draw = Runner._draw_first_codes  # pyright: ignore[reportPrivateUsage] - the last allocation of a frame step

    def fail_for_three(runner: Runner, batch: list[Sequence], *further: Any) -> list[int]:
        if len(batch) == 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return draw(runner, batch, *further)

    monkeypatch.setattr(Runner, "_draw_first_codes", fail_for_three)
    recorders = [Recorder() for _ in range(3)]
    for number, recorder in enumerate(recorders):
        engine.submit(speech_request(engine, number), recorder)
    ends = [recorder.wait() for recorder in recorders]
    assert [end.reason is FinishReason.MEMORY for end in ends] == [False, False, True]
    spoken = [np.concatenate([chunk.samples for chunk in recorder.chunks]) for recorder in recorders[:2]]
    monkeypatch.undo()
    for number in range(2):
        np.testing.assert_array_equal(spoken[number], engine.synthesize(speech_request(engine, number)))
        np.testing.assert_array_equal(alone[number], engine.generate_codes(speech_request(engine, number)))
    engine.close()
