"""An engine whose thread dies or sticks says so, and a clock that jumps is nothing to it."""

import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models import (
    EngineClosedError,
    Finished,
    FinishReason,
    Kind,
    SpeechEngine,
    SpeechEvent,
    SynthesisRequest,
    load_engine,
)
from models.engine.engine import Engine
from models.engine.loop import Loop

REQUEST = SynthesisRequest("Hello.", description="A calm old sailor", max_frames=40)
A_YEAR = 365 * 86_400.0


class _End:
    """A listener that waits for the end."""

    def __init__(self) -> None:
        self._finished: list[Finished] = []
        self._done = threading.Event()

    def __call__(self, event: SpeechEvent) -> None:
        if isinstance(event, Finished):
            self._finished.append(event)
            self._done.set()

    def wait(self) -> Finished:
        assert self._done.wait(60), "no end within a minute"
        return self._finished[0]


@pytest.fixture
def engine(tiny_checkpoint: Callable[[Kind], Path]) -> Iterator[SpeechEngine]:
    engine = load_engine(tiny_checkpoint("voice_design"), "fp32", threads=1, slots=2, max_positions=512, runaway=None)
    yield engine
    engine.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_answers_everybody_and_is_not_healthy(
    engine: SpeechEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_there = threading.Event()

    def die(_: Loop) -> None:
        assert all_there.wait(10)
        raise SystemError("something nobody thought of")

    monkeypatch.setattr(Loop, "step", die)
    ends = [_End() for _ in range(4)]
    for end in ends:
        engine.submit(replace(REQUEST, request_id=str(id(end))), end)
    all_there.set()
    assert {end.wait().reason for end in ends} == {FinishReason.CANCELLED}
    deadline = time.monotonic() + 10
    while engine.healthy():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(EngineClosedError):
        engine.submit(REQUEST, _End())


def test_a_thread_that_sticks_is_not_healthy_until_it_moves_again(
    engine: SpeechEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, release = threading.Event(), threading.Event()
    step = Loop.step

    def stick(loop: Loop) -> None:
        stuck.set()
        assert release.wait(60)
        step(loop)

    monkeypatch.setattr(Engine, "STUCK_AFTER_S", 0.2)
    monkeypatch.setattr(Loop, "step", stick)
    end = _End()
    engine.submit(REQUEST, end)
    assert stuck.wait(10)
    time.sleep(0.4)
    assert not engine.healthy()
    monkeypatch.setattr(Engine, "STUCK_AFTER_S", 60.0)
    release.set()
    assert end.wait().reason in (FinishReason.EOS, FinishReason.LENGTH)
    assert engine.healthy()


@pytest.mark.parametrize("jump", [A_YEAR, -A_YEAR])
def test_a_clock_that_jumps_changes_no_deadline(
    engine: SpeechEngine, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    clock = itertools.count(time.time(), jump)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    patient, hurried = _End(), _End()
    engine.submit(replace(REQUEST, timeout_s=60.0, request_id="patient"), patient)
    engine.submit(replace(REQUEST, timeout_s=1e-3, request_id="hurried", max_frames=300), hurried)
    assert patient.wait().reason in (FinishReason.EOS, FinishReason.LENGTH)
    assert hurried.wait().reason is FinishReason.DEADLINE
    assert engine.healthy()


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(b"whatever")


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def _replace(path: Path) -> None:
    other = path.with_suffix(".new")
    shutil.copy(path, other)
    os.truncate(other, 100)
    other.rename(path)


@pytest.mark.parametrize("file", ["model.safetensors", "speech_tokenizer/model.safetensors"])
@pytest.mark.parametrize(
    ("change", "healthy"), [(_overwrite, False), (_truncate, False), (_replace, True), (Path.unlink, True)]
)
def test_weights_that_were_written_over_are_not_spoken_with(
    tiny_checkpoint: Callable[[Kind], Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    file: str,
    change: Callable[[Path], None],
    healthy: bool,
) -> None:
    shutil.copytree(tiny_checkpoint("voice_design"), tmp_path / "checkpoint")
    engine = load_engine(tmp_path / "checkpoint", "fp32", threads=1, slots=1, max_positions=128)
    try:
        assert engine.healthy()
        change(tmp_path / "checkpoint" / file)
        assert engine.healthy() == healthy
        assert (f"{file} was written to while it was in use" in caplog.text) != healthy
    finally:
        engine.close()
