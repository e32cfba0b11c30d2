"""One real server for all end-to-end tests: the launcher, four models with embedded weights, a free port."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LARGE = "serve_config.large.yaml"
START_S = 180.0
STOP_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """The launcher's process and what it has said."""

    url: str
    voices: Path
    config: Path
    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it serves."""
        return int(self.url.rpartition(":")[2])

    @property
    def ray_address(self) -> str:
        """As it said itself."""
        return re.findall(r"RAY_ADDRESS=(\S+)", "".join(self.output))[-1]

    def wait_until_ready(self) -> None:
        """Read what it says until it has said what to type next."""
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        deadline = time.monotonic() + START_S
        while not any("Ctrl-C stops" in line for line in self.output):
            line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, "the launcher ended:\n" + "".join(self.output)
            self.output.append(line)

    def stop(self) -> int:
        """Signal its whole process group, as a terminal or a supervisor does; returns the exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        finally:
            self.process.kill()

    def _read(self, lines: "queue.SimpleQueue[str | None]") -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.put(line)
        lines.put(None)


def start_server(directory: Path, file: str = LARGE, **arguments: object) -> Server:
    """Start a shipped configuration, changed by `arguments`, on a free port, its voices in `directory`."""
    document = yaml.safe_load((ROOT / file).read_text())
    document["http_options"]["port"] = port = free_port()
    document["applications"][0]["args"].update(arguments)
    config = directory / "serve_config.yaml"
    config.write_text(yaml.safe_dump(document))
    voices = directory / "voices"
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.launcher", str(config)],
        cwd=ROOT,
        env={
            **os.environ,
            "QWEN3_TTS_WEIGHTS": "embedded",
            "QWEN3_TTS_VOICES": str(voices),
            "QWEN3_TTS_KEYS_FILE": str(directory / "keys"),
            "QWEN3_TTS_LOGS": str(directory / "logs"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Server(f"http://127.0.0.1:{port}", voices, config, process)


@contextmanager
def running_server(directory: Path, file: str = LARGE, **arguments: object) -> Generator[Server]:
    """The same, ready, and stopped at the end."""
    started = start_server(directory, file, **arguments)
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(autouse=True)
def _this_ray(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """For programs that tests start: `address="auto"` alone would take any cluster of this machine."""
    monkeypatch.setenv("RAY_ADDRESS", server.ray_address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
