"""The deployment file read again while the server runs: what it may change, whom that touches, and what it may not."""

import os
import queue
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.processes import process_tree
from models.catalog.shipped_voice import SHIPPED_VOICE
from tests.e2e.server import ROOT, Server, running_server
from tests.e2e.speech import DESIGN, DESIGNED, SPOKEN, SYNTHESIZE

BASE, DESIGNER = "base-small-nf4", "voice-design-nf4"
TITLE = "ray::ServeReplica:tts:"
SHIPPED = yaml.safe_load((ROOT / "serve_config.yaml").read_text())["applications"][0]["args"]
KEPT: list[dict[str, Any]] = [{**model, "min_replicas": 1} for model in SHIPPED["models"]]


@pytest.fixture(scope="module")
def running(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(checkout, tmp_path_factory.mktemp("reload"), "serve_config.yaml", models=KEPT) as started:
        assert started.next_line() == "\n"  # the last of what it says when it is ready
        yield started


@pytest.fixture
def document(running: Server) -> Iterator[dict[str, Any]]:
    """The file that is deployed, to be changed; deployed as it was again afterwards, for the other tests."""
    before = running.config.read_text()
    yield yaml.safe_load(before)
    assert "deploying" in reload(running, before)
    assert "it is deployed" in running.next_line()


def arguments(document: dict[str, Any]) -> dict[str, Any]:
    return document["applications"][0]["args"]


def reload(server: Server, file: dict[str, Any] | str) -> str:
    """Have it read this file, and its next line."""
    server.config.write_text(file if isinstance(file, str) else yaml.safe_dump(file))
    os.kill(server.process.pid, signal.SIGUSR1)
    return server.next_line()


def replicas(server: Server) -> dict[str, int]:
    """Process ids by deployment."""
    titles = process_tree(server.process.pid).items()
    return {title.removeprefix(TITLE): process for process, title in titles if title.startswith(TITLE)}


def speak(server: Server, text: str = "Hello.") -> int:
    return server.post(SYNTHESIZE, {**SPOKEN, "text": text}).status_code


def misspelt_logging(document: dict[str, Any]) -> None:
    document["logging_config"]["log_levle"] = "WARNING"


def wrong_level(document: dict[str, Any]) -> None:
    document["logging_config"]["log_level"] = "LOUD"


def misspelt_http(document: dict[str, Any]) -> None:
    document["http_options"]["prot"] = 8000


def another_port(document: dict[str, Any]) -> None:
    document["http_options"]["port"] += 1


def unknown_model_key(document: dict[str, Any]) -> None:
    arguments(document)["models"][0]["slot"] = 3


def wrong_import_path(document: dict[str, Any]) -> None:
    document["applications"][0]["import_path"] = "deployments.ap:build"


def more_memory(document: dict[str, Any]) -> None:
    arguments(document)["memory_mb"] = 1_000_000


def weights_that_are_not_there(document: dict[str, Any]) -> None:
    arguments(document)["weights"] = "/nowhere"


BAD = {
    misspelt_logging: "logging_config.log_levle",
    wrong_level: "logging_config.log_level",
    misspelt_http: "http_options.prot",
    another_port: "http_options.port",
    unknown_model_key: "applications.0.args.models.0.slot",
    wrong_import_path: "applications.0.import_path",
    more_memory: "memory_mb",
    weights_that_are_not_there: "/nowhere",
}


def test_a_file_that_cannot_be_served_is_one_line_and_changes_nothing(running: Server) -> None:
    good, before = running.config.read_text(), replicas(running)
    files: list[tuple[str, str]] = [("applications: [}", "not a YAML file"), ("", "no keys")]
    for spoil, key in BAD.items():
        document = yaml.safe_load(good)
        spoil(document)
        files.append((yaml.safe_dump(document), key))
    for file, key in files:
        line = reload(running, file)
        assert line.startswith("[serve] not reloaded: ")
        assert key in line
        assert speak(running) == 200
    running.config.write_text(good)
    with pytest.raises(queue.Empty):
        running.next_line(1.0)  # one line each
    assert replicas(running) == before == {BASE: before[BASE], DESIGNER: before[DESIGNER], "ingress": before["ingress"]}


def test_what_concerns_no_model_replaces_no_replica(running: Server, document: dict[str, Any]) -> None:
    before = replicas(running)
    arguments(document).update(max_text_characters=20, open_listing=True, openai_voices={"alloy": "narrator_cloned"})
    assert "deploying" in reload(running, document)
    assert "it is deployed" in running.next_line()
    assert (speak(running, "a" * 21), speak(running)) == (400, 200)
    assert replicas(running) == before


def test_a_changed_model_replaces_its_replica_and_no_other(running: Server, document: dict[str, Any]) -> None:
    before = replicas(running)
    arguments(document)["models"][0].update(slots=3, memory_budget_mb=1800)
    assert "deploying" in reload(running, document)
    assert "it is deployed" in running.next_line()
    assert [model["slots"] for model in running.status()] == [3, 4]
    after = replicas(running)
    assert after.pop(BASE) != before.pop(BASE)
    assert after == before


def test_weights_that_cannot_be_loaded_are_followed_by_the_former_file(
    running: Server, document: dict[str, Any], tmp_path: Path
) -> None:
    for model in KEPT:
        shutil.copytree(SHIPPED_VOICE, tmp_path / model["checkpoint"], ignore=shutil.ignore_patterns("*.safetensors"))
    arguments(document)["weights"] = str(tmp_path)
    assert "deploying" in reload(running, document)
    line = running.next_line()
    assert "the former file is deployed again" in line
    assert "safetensors" in line
    assert "it is deployed" in running.next_line()
    assert (speak(running), running.post(DESIGN, DESIGNED).status_code) == (200, 200)
