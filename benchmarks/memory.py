"""What the whole server takes: `python -m benchmarks.memory together|turns|idle`, with both full-size models in nf4.

`together` keeps both loaded and lets clients speak; `turns` has the memory of a 4 GB machine and lets design follow
clone follow design; `idle` does nothing for a while. Memory is the proportional set size (what is shared is divided
among those who share it) of every process of the stack, sampled while it works.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.stack_processes import Usage, processes_of
from benchmarks.weights import benchmark_checkpoint

ROOT = Path(__file__).parents[1]
PORT = 8764
START_S = 240.0
MIB = 2**20
FOLDERS = {"0.6b": "Qwen3-TTS-12Hz-0.6B-Base", "1.7b": "Qwen3-TTS-12Hz-1.7B-VoiceDesign"}
TEXT = "Hello, this is a test of how long it takes to say something on an ordinary machine."
BODIES: dict[str, dict[str, Any]] = {
    "clone": {"input": TEXT, "voice": "narrator_cloned"},
    "design": {"input": TEXT, "instructions": "A calm old sailor"},
}


@contextlib.contextmanager
def server(loaded: bool, **arguments: object) -> Generator[int]:
    """The shipped configuration on full-size weights; gives the launcher's process id once it is up."""
    with tempfile.TemporaryDirectory() as folder:
        for model, name in FOLDERS.items():
            Path(folder, name).symlink_to(benchmark_checkpoint(model))
        document = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
        document["http_options"]["port"] = PORT
        [application] = document["applications"]
        application["args"].update(weights=folder, voices=f"{folder}/voices", **arguments)
        for model in application["args"]["models"]:
            model["min_replicas"] = int(loaded)
        config = Path(folder, "serve_config.yaml")
        config.write_text(yaml.safe_dump(document))
        command = [sys.executable, "-m", "deployments.launcher", str(config)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as launcher:
            try:
                _wait_until_up(launcher)
                yield launcher.pid
            finally:
                launcher.send_signal(signal.SIGTERM)


def _wait_until_up(launcher: "subprocess.Popen[str]") -> None:
    assert launcher.stdout is not None
    deadline = time.monotonic() + START_S
    for line in launcher.stdout:
        print(line, end="", file=sys.stderr)
        if "Ctrl-C stops" in line:
            threading.Thread(target=launcher.stdout.read, daemon=True).start()
            return
        assert time.monotonic() < deadline, "the server does not come up"
    raise SystemExit("the server ended")


def speak(task: str, frames: int) -> tuple[float, int]:
    """Ask for an utterance; seconds until it was there whole, and the status."""
    body = {**BODIES[task], "model": "tts-1", "max_new_tokens": frames, "response_format": "pcm"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/v1/audio/speech", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            answer.read()
            return time.monotonic() - began, answer.status
    except urllib.error.HTTPError as error:
        return time.monotonic() - began, error.code


@dataclass
class Sampler:
    """Memory of the stack, sampled until it is stopped; keeps the sample with the largest sum."""

    root: int
    peak: list[Usage] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Sampler":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.5):
            sample = processes_of(self.root)
            if sum(usage.pss for usage in sample) > sum(usage.pss for usage in self.peak):
                self.peak = sample


def together(seconds: float, clients: int, frames: int) -> None:
    """Both models at work at the same time."""
    statuses: list[int] = []

    def client(task: str) -> None:
        while time.monotonic() < end:
            statuses.append(speak(task, frames)[1])

    with server(loaded=True) as root, Sampler(root) as sampler:
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=client, args=(task,)) for task in BODIES for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _report("together", sampler.peak, {"requests": len(statuses), "failed": sum(code != 200 for code in statuses)})


def turns(memory_mb: int, frames: int) -> None:
    """Design follows clone follows design where there is room for one of them."""
    lines: dict[str, object] = {}
    with server(loaded=False, memory_mb=memory_mb) as root, Sampler(root) as sampler:
        for number, task in enumerate(("design", "clone", "design", "design", "clone")):
            seconds, code = speak(task, frames)
            lines[f"{number} {task}"] = f"{code} after {seconds:.1f} s"
            print(number, task, lines[f"{number} {task}"], flush=True)
    _report("turns", sampler.peak, lines)


def idle(seconds: float) -> None:
    """CPU of every process while nobody asks for anything."""
    with server(loaded=True) as root:
        time.sleep(10)
        before = {usage.pid: usage for usage in processes_of(root)}
        time.sleep(seconds)
        after = processes_of(root)
    shares = {
        f"{usage.name} ({usage.pid})": 100 * (usage.cpu_s - before[usage.pid].cpu_s) / seconds
        for usage in after
        if usage.pid in before
    }
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        print(f"{share:6.2f} % of a core  {name}")
    print(json.dumps({"mode": "idle", "cpu_percent": round(sum(shares.values()), 2), "seconds": seconds}))


def _report(mode: str, peak: list[Usage], more: dict[str, object]) -> None:
    for usage in sorted(peak, key=lambda usage: -usage.pss):
        print(f"{usage.pss / MIB:8.0f} MiB  {usage.name}")
    total = sum(usage.pss for usage in peak)
    print(json.dumps({"mode": mode, "pss_gb": round(total / 1e9, 3), **more}))


def main() -> None:
    """Measure one of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=("together", "turns", "idle"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=3, help="of each kind")
    parser.add_argument("--frames", type=int, default=60, help="of an utterance; 12.5 are a second")
    parser.add_argument("--memory-mb", type=int, default=4096)
    arguments = parser.parse_args()
    os.environ.pop("QWEN3_TTS_WEIGHTS", None)
    match arguments.mode:
        case "together":
            together(arguments.seconds, arguments.clients, arguments.frames)
        case "turns":
            turns(arguments.memory_mb, arguments.frames)
        case _:
            idle(arguments.seconds)


if __name__ == "__main__":
    main()
