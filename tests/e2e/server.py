"""A real server: `scripts/serve`, Ray Serve, engines with embedded weights; started, asked, and ended by its handle."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.sockets import free_port
from tests.waiting import TIMEOUT

ROOT = Path(__file__).parents[2]
START_S = 180.0
STOP_S = 90.0
PARTS = ("benchmarks", "commands", "deployments", "models", "pyproject.toml", "scripts", "setup.py", "tests", "voices")


@dataclass
class Server:
    """The process of `scripts/serve` and what it has said."""

    url: str
    directory: Path  # its voices, keys, logs and deployment file
    process: subprocess.Popen[str]
    reports: socket.socket  # where Ray would send what it reports of its use
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # what clients have to send
    output: list[str] = field(default_factory=list)
    _lines: "queue.SimpleQueue[str | None]" = field(default_factory=queue.SimpleQueue)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def voices(self) -> Path:
        return self.directory / "voices"

    @property
    def config(self) -> Path:
        return self.directory / "serve_config.yaml"

    @property
    def exports(self) -> str:
        """What it says to type before a program that uses deployment handles."""
        return re.findall(r"^ +(export .*)$", "".join(self.output), flags=re.MULTILINE)[-1]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=dict(self.headers), timeout=TIMEOUT)

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> httpx.Response:
        return httpx.post(self.url + path, json=body, headers={**self.headers, **headers}, timeout=TIMEOUT)

    def status(self) -> list[dict[str, Any]]:
        """What is said of each model."""
        return self.get("/api/v1/status").json()["models"]

    def is_idle(self) -> bool:
        """Whether it has nothing to speak."""
        return not any(model["slots_used"] or model["queue"] for model in self.status())

    def is_at_rest(self) -> bool:
        """Whether it is idle, no model of it comes or goes, and all of it answers."""
        try:
            settled = all(model["state"] in ("ready", "cold") for model in self.status())
            return settled and self.is_idle()
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    def forget_voices(self) -> None:
        """Leave only the voices that are shipped."""
        for voice in self.get("/api/v1/tts/voices").json()["voices"]:
            if (self.voices / voice["id"]).exists():
                path = f"{self.url}/api/v1/tts/voices/{voice['id']}"
                assert httpx.delete(path, headers=dict(self.headers), timeout=TIMEOUT).status_code == 200

    def wait_until_ready(self) -> None:
        """Read what it says until it has said what to type next."""
        threading.Thread(target=self._read, daemon=True).start()
        deadline = time.monotonic() + START_S
        while not any("Ctrl-C stops" in line for line in self.output):
            self.next_line(deadline - time.monotonic())

    def next_line(self, seconds: float = TIMEOUT) -> str:
        """What it says next."""
        line = self._lines.get(timeout=max(0.1, seconds))
        assert line is not None, "the launcher ended:\n" + "".join(self.output)
        self.output.append(line)
        return line

    def send_signal(self, number: signal.Signals) -> None:
        """To its whole process group, as a terminal or a supervisor does."""
        os.killpg(self.process.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns the exit status."""
        if self.process.poll() is None:
            self.send_signal(number)
        try:
            return self.process.wait(STOP_S)
        finally:
            self.process.kill()
            self.reports.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)


def make_checkout(directory: Path) -> Path:
    """A checkout as its first `scripts/serve` left it: installed, here with the packages that run the tests."""
    environment = directory / ".venv"
    environment.mkdir(parents=True)
    for part in ("bin", "lib", "pyvenv.cfg"):
        (environment / part).symlink_to(Path(sys.prefix) / part)
    for part in PARTS:
        (directory / part).symlink_to(ROOT / part)
    (environment / "installed").write_text("dev\n")
    return directory


def start_server(checkout: Path, directory: Path, file: str, **arguments: object) -> Server:
    """Start a shipped configuration, changed by `arguments`, on a free port; all that it keeps lies in `directory`."""
    document = yaml.safe_load((ROOT / file).read_text())
    document["http_options"]["port"] = port = free_port()
    document["applications"][0]["args"].update(arguments)
    config = directory / "serve_config.yaml"
    config.write_text(yaml.safe_dump(document))
    reports = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{reports.getsockname()[1]}"
    process = subprocess.Popen(
        ["scripts/serve", str(config)],
        cwd=checkout,
        env={
            **environment_of(directory),
            "RAY_USAGE_STATS_REPORT_URL": address,
            "RAY_USAGE_STATS_REPORT_INTERVAL_S": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Server(f"http://127.0.0.1:{port}", directory, process, reports)


def environment_of(directory: Path) -> dict[str, str]:
    """Of the programs of a server that keeps everything in `directory`, none of it said by another Ray."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **inherited,
        "QWEN3_TTS_WEIGHTS": "",  # as the deployment file says
        "QWEN3_TTS_VOICES": str(directory / "voices"),
        "QWEN3_TTS_KEYS_FILE": str(directory / "keys"),
        "QWEN3_TTS_LOGS": str(directory / "logs"),
    }


@contextmanager
def running_server(
    checkout: Path, directory: Path, file: str, headers: Mapping[str, str] | None = None, **arguments: object
) -> Generator[Server]:
    """The same, ready, and stopped at the end whatever became of it."""
    started = start_server(checkout, directory, file, **arguments)
    started.headers = headers or {}
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.stop()
