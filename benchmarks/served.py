"""The real server as a benchmark starts it: launcher, Ray and replicas, on a free port of the loopback interface."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.load_plan import Target
from benchmarks.weights import benchmark_checkpoint
from deployments.launch import SHIPPED_FILE

SYNTHETIC = {"Qwen3-TTS-12Hz-0.6B-Base": "0.6b", "Qwen3-TTS-12Hz-1.7B-VoiceDesign": "1.7b"}
START_S = 300.0
STOP_S = 90.0
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers; `process` is None for one that somebody else has started."""

    url: str
    process: int | None  # the launcher's

    @property
    def root(self) -> int:
        """The process below which everything of the server runs."""
        assert self.process is not None, "it was started by somebody else, who did not say as what"
        return self.process

    def targets(self) -> list[Target]:
        """The models that the benchmark knows how to ask."""
        models = httpx.get(f"{self.url}/api/v1/status", timeout=30).json()["models"]
        kinds = ("base", "voice_design")
        return [Target(model["id"], model["kind"]) for model in models if model["kind"] in kinds]


@contextmanager
def start_server(
    weights: str, models: Sequence[str] = (), loaded: bool = True, **arguments: object
) -> Generator[Served]:
    """The shipped configuration with other `arguments`, or of it the `models` named; stopped by a signal at the end.

    All models are `loaded` before it is given, and stay so; otherwise they come and go.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-server-") as temporary:
        directory = Path(temporary)
        port = _free_port()
        config = directory / "serve_config.yaml"
        config.write_text(yaml.safe_dump(_configuration(port, models, loaded, arguments)), encoding="utf-8")
        log = (directory / "log").open("w+")
        environment = {
            **os.environ,
            "QWEN3_TTS_WEIGHTS": _full_size(directory / "weights") if weights == "synthetic" else weights,
            "QWEN3_TTS_VOICES": str(directory / "voices"),
        }
        command = [sys.executable, "-m", "commands", "serve", str(config)]
        with subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as process:
            try:
                served = Served(f"http://127.0.0.1:{port}", process.pid)
                _wait_until(served, "ready" if loaded else "cold", process, log.name)
                yield served
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(STOP_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _configuration(port: int, models: Sequence[str], loaded: bool, changed: Mapping[str, object]) -> dict[str, Any]:
    document = yaml.safe_load(SHIPPED_FILE.read_text(encoding="utf-8"))
    document["http_options"] |= {"host": "127.0.0.1", "port": port}
    arguments = document["applications"][0]["args"]
    arguments |= changed
    if models:
        arguments["models"] = [model for model in arguments["models"] if model["id"] in models]
    for model in arguments["models"]:
        model["min_replicas"] = int(loaded)
    return document


def _full_size(directory: Path) -> str:
    """A folder of full-size random checkpoints under the published names."""
    directory.mkdir()
    for published, size in SYNTHETIC.items():
        (directory / published).symlink_to(benchmark_checkpoint(size), target_is_directory=True)
    return str(directory)


def _wait_until(served: Served, awaited: str, process: subprocess.Popen[bytes], log: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            states = httpx.get(f"{served.url}/health", timeout=10).json()["models"].values()
        except (httpx.HTTPError, ValueError, KeyError):
            states = ()
        if set(states) == {awaited}:
            return
        time.sleep(POLL_S)
    raise RuntimeError(f"the server did not become ready:\n{Path(log).read_text(encoding='utf-8')}")
