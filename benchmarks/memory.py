"""What the whole server takes: `python -m benchmarks.memory together|turns|idle`, with both full-size models in nf4.

`together` keeps both loaded and lets clients speak; `turns` has the memory of a 4 GB machine and lets design follow
clone follow design; `idle` does nothing for a while. Memory is the proportional set size (what is shared is divided
among those who share it) of every process of the stack, sampled while it works.
"""

import argparse
import json
import threading
import time
from collections import Counter
from typing import Any

import httpx

from benchmarks.memory_watch import MemoryWatch
from benchmarks.processes import MIB, usages
from benchmarks.served import Served, start_server

SAMPLE_S = 0.5
SETTLE_S = 10.0  # before nothing is measured
TIMEOUT_S = 300.0
TEXT = "Hello, this is a test of how long it takes to say something on an ordinary machine."
BODIES: dict[str, dict[str, Any]] = {
    "clone": {"input": TEXT, "voice": "narrator_cloned"},
    "design": {"input": TEXT, "instructions": "A calm old sailor"},
}


def speak(served: Served, task: str, frames: int) -> tuple[float, int]:
    """Ask for an utterance; seconds until it was there whole, and the status."""
    body = {**BODIES[task], "model": "tts-1", "max_new_tokens": frames, "response_format": "pcm"}
    began = time.monotonic()
    answer = httpx.post(f"{served.url}/v1/audio/speech", json=body, timeout=TIMEOUT_S)
    return time.monotonic() - began, answer.status_code


def together(seconds: float, clients: int, frames: int) -> None:
    """Both models at work at the same time."""
    statuses: list[int] = []

    def client(served: Served, task: str) -> None:
        while time.monotonic() < end:
            statuses.append(speak(served, task, frames)[1])

    with start_server("synthetic") as served:
        watch = _watch(served)
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=client, args=(served, task)) for task in BODIES for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        peak = watch.peak()
    _report("together", peak, {"requests": len(statuses), "failed": sum(code != 200 for code in statuses)})


def turns(memory_mb: int, frames: int) -> None:
    """Design follows clone follows design where there is room for one of them."""
    lines: dict[str, object] = {}
    with start_server("synthetic", loaded=False, memory_mb=memory_mb) as served:
        watch = _watch(served)
        for number, task in enumerate(("design", "clone", "design", "design", "clone")):
            seconds, code = speak(served, task, frames)
            lines[f"{number} {task}"] = f"{code} after {seconds:.1f} s"
            print(number, task, lines[f"{number} {task}"], flush=True)
        peak = watch.peak()
    _report("turns", peak, lines)


def idle(seconds: float, loaded: bool) -> None:
    """CPU of every process while nobody asks for anything."""
    with start_server("synthetic", loaded=loaded) as served:
        time.sleep(SETTLE_S)
        before = {usage.process: usage.cpu_s for usage in usages(served.root)}
        time.sleep(seconds)
        after = usages(served.root)
    shares = [
        (100 * (usage.cpu_s - before[usage.process]) / seconds, f"{usage.name} ({usage.process})")
        for usage in after
        if usage.process in before
    ]
    for share, name in sorted(shares, reverse=True):
        print(f"{share:6.2f} % of a core  {name}")
    total = sum(share for share, _ in shares)
    print(json.dumps({"mode": "idle", "cpu_percent": round(total, 2), "seconds": seconds}))


def _watch(served: Served) -> MemoryWatch:
    watch = MemoryWatch(served.root, SAMPLE_S)
    watch.start()
    return watch


def _report(mode: str, peak: Counter[str], more: dict[str, object]) -> None:
    for name, size in peak.most_common():
        print(f"{size / MIB:8.0f} MiB  {name}")
    print(json.dumps({"mode": mode, "pss_gb": round(peak.total() / 1e9, 3), **more}))


def main() -> None:
    """Measure one of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=("together", "turns", "idle"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=3, help="of each kind")
    parser.add_argument("--frames", type=int, default=60, help="of an utterance; 12.5 are a second")
    parser.add_argument("--memory-mb", type=int, default=4096, help="in `turns`")
    parser.add_argument("--cold", action="store_true", help="in `idle`: the models as they are shipped, not loaded")
    arguments = parser.parse_args()
    match arguments.mode:
        case "together":
            together(arguments.seconds, arguments.clients, arguments.frames)
        case "turns":
            turns(arguments.memory_mb, arguments.frames)
        case _:
            idle(arguments.seconds, loaded=not arguments.cold)


if __name__ == "__main__":
    main()
