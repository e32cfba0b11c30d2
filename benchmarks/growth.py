"""Whether a frame costs more as an utterance grows: the time of a frame around two places of one long utterance."""

import argparse
import json
import statistics
import time
from typing import Any

from benchmarks.speech import benchmark_request, benchmark_voice
from benchmarks.weights import benchmark_checkpoint
from models import load_engine
from models.architecture import read_architecture
from models.engine import ChunkPolicy

WINDOW = 20  # frames around each place


def measure(model: str, precision: str, early: int, late: int) -> dict[str, float]:
    """Median milliseconds of a frame, codec included, around frames `early` and `late`."""
    directory = benchmark_checkpoint(model)
    chunks = ChunkPolicy(first=1, growth=1, largest=1)
    options: dict[str, Any] = {
        "slots": 1,
        "max_positions": late + 256,
        "max_frames": late + WINDOW,
        "runaway": None,
        "chunks": chunks,
    }
    engine = load_engine(directory, precision, **options)
    voice = benchmark_voice(read_architecture(directory))
    frames: list[float] = []
    try:
        last = time.perf_counter()
        for _ in engine.stream(benchmark_request(voice, late + WINDOW, seed=0)):
            now = time.perf_counter()
            frames.append(now - last)
            last = now
    finally:
        engine.close()
    times = {place: statistics.median(frames[place - WINDOW : place + WINDOW]) * 1e3 for place in (early, late)}
    return {
        "frames": len(frames),
        "early_ms": round(times[early], 2),
        "late_ms": round(times[late], 2),
        "ratio": round(times[late] / times[early], 3),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="0.6b")
    parser.add_argument("--precision", default="nf4")
    parser.add_argument("--early", type=int, default=50)
    parser.add_argument("--late", type=int, default=1000)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.model, arguments.precision, arguments.early, arguments.late)))


if __name__ == "__main__":
    main()
