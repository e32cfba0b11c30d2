"""From the start of a process to its first sound, weights packed and in the page cache."""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.speech import benchmark_request, benchmark_voice
from models import load_engine
from models.architecture import read_architecture


def seconds_to_first_sound(directory: Path, precision: str, repetitions: int = 3) -> float:
    """Median over processes started one after the other."""
    times: list[float] = []
    for _ in range(repetitions):
        started = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.cold_start", str(directory), precision]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"sound\n"
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Be the process: load, say when there is sound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("precision")
    arguments = parser.parse_args()
    engine = load_engine(arguments.directory, arguments.precision, slots=1, max_positions=512)
    voice = benchmark_voice(read_architecture(arguments.directory))
    for _ in engine.stream(benchmark_request(voice, 4, seed=0)):
        print("sound", flush=True)
        break
    engine.close()


if __name__ == "__main__":
    main()
