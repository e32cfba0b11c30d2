"""How fast one engine speaks: `python -m benchmarks.engine --model 0.6b --precision nf4 --streams 1 --frames 50`.

Prints the machine, the bound, a table, and last one line of JSON. Real-time factors include the codec; lower is better.
"""

import argparse
import json
import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bound import bytes_per_frame
from benchmarks.machine import Machine, describe_machine, peak_resident_mb
from benchmarks.speech import benchmark_request, benchmark_voice
from benchmarks.upstream_peer import measure_apart
from benchmarks.weights import benchmark_checkpoint
from models import SpeechEngine, VoicePrompt, load_engine
from models.architecture import Architecture, read_architecture


@dataclass(eq=False)
class _Stream(threading.Thread):
    """One client: speaks again and again until it has its frames, so that the number of streams stays the same."""

    engine: SpeechEngine
    voice: VoicePrompt | None
    frames: int
    number: int
    samples: int = 0
    first_audio_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def run(self) -> None:
        per_frame = self.engine.info.samples_per_frame
        utterance = 0
        while (left := self.frames - self.samples // per_frame) > 0:
            request = benchmark_request(self.voice, left, seed=1000 * self.number + utterance)
            started = time.perf_counter()
            for place, samples in enumerate(self.engine.stream(request)):
                if place == 0:
                    self.first_audio_s.append(time.perf_counter() - started)
                self.samples += len(samples)
            utterance += 1


def _run(engine: SpeechEngine, voice: VoicePrompt | None, streams: int, frames: int) -> tuple[float, list[_Stream]]:
    clients = [_Stream(engine, voice, frames, number) for number in range(streams)]
    started = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return time.perf_counter() - started, clients


def _first_audio(engine: SpeechEngine, voice: VoicePrompt | None, repetitions: int = 5) -> float:
    """Median seconds to first audio with nothing else running and the voice cached."""
    times: list[float] = []
    for number in range(repetitions):
        started = time.perf_counter()
        for _ in engine.stream(benchmark_request(voice, 2, seed=number)):
            times.append(time.perf_counter() - started)
            break
    return statistics.median(times)


def _measure(engine: SpeechEngine, architecture: Architecture, arguments: argparse.Namespace) -> dict[str, Any]:
    voice = benchmark_voice(architecture)
    _run(engine, voice, arguments.streams, 4)
    walls: list[float] = []
    spoken: list[float] = []
    for _ in range(arguments.repetitions):
        wall, clients = _run(engine, voice, arguments.streams, arguments.frames)
        walls.append(wall)
        spoken.append(sum(client.samples for client in clients) / engine.info.sample_rate)
    aggregate = statistics.median(wall / audio for wall, audio in zip(walls, spoken, strict=True))
    rtf = aggregate * arguments.streams
    return {
        "ms_per_frame": round(rtf * 1e3 / architecture.frame_rate, 2),
        "rtf": round(rtf, 3),
        "aggregate_rtf": round(aggregate, 3),
        "ttfa_ms": round(_first_audio(engine, voice) * 1e3, 1),
    }


def run(arguments: argparse.Namespace) -> tuple[Machine, dict[str, Any]]:
    """Everything asked for, as one record."""
    directory = benchmark_checkpoint(arguments.model)
    started = time.perf_counter()
    options = {"slots": max(1, arguments.streams), "max_positions": 256 + arguments.frames, "runaway": None}
    chosen = {"backend": arguments.backend, "instructions": arguments.instructions}
    engine = load_engine(directory, arguments.precision, threads=arguments.threads, **options, **chosen)
    load_s = time.perf_counter() - started
    architecture = read_architecture(directory)
    try:
        measured = _measure(engine, architecture, arguments)
    finally:
        engine.close()
    peak = peak_resident_mb()  # before the bandwidth probe takes its share
    machine = describe_machine()
    record = {
        "model": arguments.model,
        "precision": arguments.precision,
        "backend": engine.info.backend,
        "instructions": engine.info.instructions,
        "streams": arguments.streams,
        "threads": machine.threads,
        "frames": arguments.frames,
        **measured,
        "load_s": round(load_s, 2),
        "peak_rss_mb": round(peak),
        "bound_ms_per_frame": round(bytes_per_frame(architecture, arguments.precision) / machine.bandwidth * 1e3, 2),
        "peer": None,
        "speedup": None,
    }
    if arguments.peer == "upstream":
        precision = arguments.precision if arguments.precision == "fp32" else "bf16"
        record["peer"] = peer = measure_apart(directory, precision, min(arguments.frames, 25))
        record["speedup"] = round(peer["rtf"] / record["aggregate_rtf"], 2)
    return machine, record


def _print(machine: Machine, record: dict[str, Any]) -> None:
    print(f"machine: {machine}")
    print(f"bound:   {record['bound_ms_per_frame']} ms a frame of 80 ms, weights over bandwidth, without the codec")
    width = max(len(name) for name in record)
    for name, value in record.items():
        print(f"  {name:<{width}}  {value}")
    print(json.dumps(record))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="0.6b", help="0.6b, 1.7b or a checkpoint directory")
    parser.add_argument("--precision", default="nf4", choices=["fp32", "bf16", "int8", "nf4"])
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--frames", type=int, default=50, help="frames each stream speaks")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--backend", default="auto", choices=["auto", "native", "torch"])
    parser.add_argument("--instructions", help="force an instruction set of the native kernels")
    parser.add_argument("--peer", choices=["upstream"])
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    return parser


def main() -> None:
    """Measure and print."""
    arguments = parser().parse_args()
    machine, record = run(arguments)
    if arguments.json:
        print(json.dumps(record))
    else:
        _print(machine, record)


if __name__ == "__main__":
    main()
