"""The shipped configuration on a machine that has room for one of its two models at a time."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.config import EMBEDDED_BUDGET_MB, MIB
from deployments.launch import RAY_BYTES
from tests.e2e.asked import TIMEOUT, Asked
from tests.e2e.conftest import Server, running_server, start_server

BASE, DESIGN = "base-small-nf4", "voice-design-nf4"
TEXT = "Hello, this is a test."
LONG = "A long text, a very long text. " * 60
SPEECH = {"text": LONG, "voice": "narrator_cloned", "seed": 1, "format": "pcm"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    room = RAY_BYTES // MIB + EMBEDDED_BUDGET_MB + EMBEDDED_BUDGET_MB // 2
    with running_server(tmp_path_factory.mktemp("small"), "serve_config.yaml", memory_mb=room) as started:
        yield started


@pytest.fixture(autouse=True)
def _this_ray() -> None:
    """No program here looks for Ray; the other files' server is not needed."""


def states(server: Server) -> dict[str, str]:
    return {
        model["id"]: model["state"] for model in httpx.get(f"{server.url}/api/v1/status", timeout=10).json()["models"]
    }


def clone(server: Server, text: str = TEXT, **fields: Any) -> httpx.Response:
    body = {"text": text, "voice": "narrator_cloned", "seed": 1, **fields}
    return httpx.post(f"{server.url}/api/v1/tts/synthesize", json=body, timeout=TIMEOUT)


def design(server: Server) -> httpx.Response:
    body = {"text": TEXT, "description": "A calm old sailor", "seed": 1}
    return httpx.post(f"{server.url}/api/v1/tts/design", json=body, timeout=TIMEOUT)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def processes(name: str) -> list[int]:
    """Replicas call themselves by their deployment."""
    titles = ((path.parent.name, path.read_bytes()) for path in Path("/proc").glob("[0-9]*/cmdline"))
    return [int(pid) for pid, title in titles if b"ServeReplica:tts:" + name.encode() in title]


def test_nothing_is_loaded_and_asking_does_not_change_that(small: Server) -> None:
    for _ in range(3):
        assert states(small) == {BASE: "cold", DESIGN: "cold"}
        assert httpx.get(f"{small.url}/readyz").status_code == 200
        assert httpx.get(f"{small.url}/api/v1/tts/voices").status_code == 200
        time.sleep(1.5)
    assert states(small) == {BASE: "cold", DESIGN: "cold"}


def test_a_deadline_too_short_for_a_cold_model_is_told_with_when_to_come_back(small: Server) -> None:
    answer = clone(small, timeout_s=0.05)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_design_follows_clone_follows_design(small: Server) -> None:
    first = clone(small)
    assert first.status_code == 200
    assert states(small) == {BASE: "ready", DESIGN: "cold"}
    until(lambda: len(processes(BASE)) == 1)  # the one that the hurried request before ordered may still be leaving
    [process] = processes(BASE)
    assert design(small).status_code == 200
    until(lambda: states(small) == {BASE: "cold", DESIGN: "ready"})  # what the controller said is used for a moment
    until(lambda: not Path(f"/proc/{process}").exists())  # its memory is the system's again
    again = clone(small)
    assert (again.status_code, again.content) == (200, first.content)
    until(lambda: states(small) == {BASE: "ready", DESIGN: "cold"})


def test_a_new_configuration_takes_over_and_loses_nothing(small: Server) -> None:
    """What runs, streams and comes while models are replaced is answered in full."""
    expected = clone(small, LONG, format="pcm")
    whole, stream = Asked(small, SPEECH), Asked(small, {**SPEECH, "stream": True})
    assert stream.begun.wait(TIMEOUT)
    document = yaml.safe_load(small.config.read_text())
    document["applications"][0]["args"]["max_text_characters"] = 3000
    document["applications"][0]["args"]["models"][0]["slots"] = 3
    small.config.write_text(yaml.safe_dump(document))
    os.kill(small.process.pid, signal.SIGUSR1)
    until(lambda: clone(small, "a" * 3500).status_code == 400, TIMEOUT)
    assert clone(small).status_code == 200
    assert (whole.status(), stream.status()) == (200, 200)
    assert whole.heard == stream.heard == expected.content


def test_sigterm_finishes_a_stream_and_exits_0(small: Server) -> None:
    expected = clone(small, LONG, format="pcm").content
    stream = Asked(small, {**SPEECH, "stream": True})
    assert stream.begun.wait(TIMEOUT)
    assert small.stop() == 0
    assert stream.status() == 200
    assert stream.heard == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_everything_starts_ends_it(number: signal.Signals, tmp_path: Path) -> None:
    starting = start_server(tmp_path)
    assert starting.process.stdout is not None
    try:
        assert "starting" in starting.process.stdout.readline()
        time.sleep(2)
        os.killpg(starting.process.pid, number)
        assert starting.process.wait(90) == 0  # it finishes starting first, and may take the time to drain
    finally:
        starting.stop()
