"""Two real servers for all end-to-end tests, each started by the first test that asks for it and found at rest by each.

Tests come in any order and may be run alone: what one leaves behind, voices or a process that is being replaced, the
next one does not find. How a server ends is tested when the last test has been run.
"""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deployments.config import EMBEDDED_BUDGET_MB, MIB
from deployments.launch.deployment_file import RAY_BYTES
from tests.e2e.asked import Asked
from tests.e2e.server import ROOT, Server, environment_of, make_checkout, running_server
from tests.e2e.speech import SPOKEN, SYNTHESIZE, long_text
from tests.waiting import TIMEOUT, until

CUSTOM = {
    "id": "custom-small-nf4",
    "checkpoint": "Qwen3-TTS-12Hz-0.6B-CustomVoice",
    "precision": "nf4",
    "memory_budget_mb": 1900,
    "min_replicas": 0,
}
ROOM_MB = RAY_BYTES // MIB + EMBEDDED_BUDGET_MB + EMBEDDED_BUDGET_MB // 2


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def _large(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(checkout, tmp_path_factory.mktemp("large"), "serve_config.large.yaml") as started:
        yield started
        end(started, signal.SIGINT)


@pytest.fixture(scope="session")
def _small(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("small")
    key = subprocess.check_output(
        ["scripts/key", "add", "tests"], cwd=checkout, env=environment_of(directory), text=True, timeout=TIMEOUT
    )
    shipped = yaml.safe_load((ROOT / "serve_config.yaml").read_text())["applications"][0]["args"]["models"]
    with running_server(
        checkout,
        directory,
        "serve_config.yaml",
        {"Authorization": f"Bearer {key.strip()}"},
        memory_mb=ROOM_MB,
        models=[*shipped, CUSTOM],
    ) as started:
        assert {model["state"] for model in started.status()} == {"cold"}
        yield started
        end(started, signal.SIGTERM)


@pytest.fixture
def server(_large: Server) -> Server:
    """Four models, all loaded; no key."""
    return _at_rest(_large)


@pytest.fixture
def small(_small: Server) -> Server:
    """Three models that may be cold, where there is room for one at a time; with a key."""
    return _at_rest(_small)


def _at_rest(server: Server) -> Server:
    until(server.is_at_rest)
    server.forget_voices()
    return server


def end(server: Server, number: signal.Signals) -> None:
    """By a signal that comes while a whole file and a stream are on their way: it finishes both and exits with 0."""
    until(server.is_at_rest)
    file = {**SPOKEN, "text": long_text(30), "format": "pcm"}
    streamed = {**file, "stream": True}
    alone = [server.post(SYNTHESIZE, body).content for body in (file, streamed)]
    whole = Asked(server, file)
    until(lambda: not server.is_idle())
    stream = Asked(server, streamed)
    assert stream.begun.wait(TIMEOUT)
    assert whole.is_alive()
    assert server.stop(number) == 0
    assert (whole.status(), stream.status()) == (200, 200)
    assert [whole.heard, stream.heard] == alone
