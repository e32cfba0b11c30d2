"""How long nobody gets a frame: `python -m benchmarks.steps --model 0.6b --precision nf4 --streams 8`.

Streams are let in so that all of them have frames to be decoded in the same step, the worst that can happen. What is
told is the time between the beginnings of two frame steps with all of them in it. Prints the machine, a table, and last
one line of JSON.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.speech import benchmark_request, benchmark_voice
from benchmarks.weights import benchmark_checkpoint
from models import Finished, SpeechEngine, SpeechEvent, VoicePrompt, load_engine
from models.architecture import read_architecture
from models.engine import Runner

PERIOD = 12  # frames between two streams' beginnings: a multiple of every chunk length that ever was the largest


class _Steps:
    """Stands in front of an engine's frame steps, and lets the next stream in at the right one."""

    def __init__(self, streams: int, admit: Callable[[int], None]) -> None:
        self._streams = streams
        self._admit = admit
        self._admitted = 1
        self._count = 0
        self.began: list[float] = []  # steps with all streams in them

    def before(self, width: int) -> None:
        if width == self._streams:
            self.began.append(time.perf_counter())
        self._count += 1
        if self._count % PERIOD == 0 and self._admitted < self._streams:
            self._admit(self._admitted)
            self._admitted += 1


def _watch(steps: _Steps) -> None:
    frame_step = Runner.frame_step

    def watched(self: Runner, batch: Sequence[Any]) -> Any:
        steps.before(len(batch))
        return frame_step(self, batch)

    Runner.frame_step = watched


def _run(engine: SpeechEngine, voice: VoicePrompt | None, streams: int, frames: int) -> list[float]:
    ends = threading.Semaphore(0)

    def listener(event: SpeechEvent) -> None:
        if isinstance(event, Finished):
            ends.release()

    def admit(number: int) -> None:
        engine.submit(benchmark_request(voice, PERIOD * streams + frames, seed=number), listener)

    for _ in engine.stream(benchmark_request(voice, 4, seed=0)):  # the voice is known from then on
        pass
    steps = _Steps(streams, admit)
    _watch(steps)
    admit(0)
    for _ in range(streams):
        ends.acquire()
    return [later - earlier for earlier, later in zip(steps.began, steps.began[1:], strict=False)]


def measure(model: str, precision: str, streams: int, frames: int) -> dict[str, Any]:
    """One record; milliseconds."""
    directory = benchmark_checkpoint(model)
    options: dict[str, Any] = {"slots": streams, "max_positions": 256 + PERIOD * streams + frames, "runaway": None}
    engine = load_engine(directory, precision, **options)
    try:
        gaps = sorted(_run(engine, benchmark_voice(read_architecture(directory)), streams, frames))
    finally:
        engine.close()
    return {
        "model": model,
        "precision": precision,
        "streams": streams,
        "steps": len(gaps),
        "median_ms": round(statistics.median(gaps) * 1e3, 1),
        "p90_ms": round(gaps[len(gaps) * 9 // 10] * 1e3, 1),
        "longest_ms": round(gaps[-1] * 1e3, 1),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="0.6b", help="0.6b, 1.7b or a checkpoint directory")
    parser.add_argument("--precision", default="nf4", choices=["fp32", "bf16", "int8", "nf4"])
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--frames", type=int, default=96, help="frames that all streams speak together, about")
    arguments = parser.parse_args()
    record = measure(arguments.model, arguments.precision, arguments.streams, arguments.frames)
    print(f"machine: {describe_machine()}")
    for name, value in record.items():
        print(f"  {name:<10} {value}")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
