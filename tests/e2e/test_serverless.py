"""The shipped configuration, and a model with built-in speakers, on a machine that has room for one model at a time."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from benchmarks.processes import process_tree
from tests.e2e.asked import Asked
from tests.e2e.server import Server, start_server
from tests.e2e.speech import DESIGN, DESIGNED, SPOKEN, SYNTHESIZE, long_text, samples_of
from tests.waiting import TIMEOUT, until

BASE, DESIGNER, CUSTOM = "base-small-nf4", "voice-design-nf4", "custom-small-nf4"
LONG = long_text(30)
SPEECH = {**SPOKEN, "text": LONG, "format": "pcm"}


def states(server: Server) -> dict[str, str]:
    return {model["id"]: model["state"] for model in server.status()}


def only(model_id: str) -> dict[str, str]:
    """States where one model is loaded."""
    return {model: "ready" if model == model_id else "cold" for model in (BASE, DESIGNER, CUSTOM)}


def clone(server: Server, **fields: object) -> httpx.Response:
    return server.post(SYNTHESIZE, {**SPOKEN, **fields})


def design(server: Server, **fields: object) -> httpx.Response:
    return server.post(DESIGN, {**DESIGNED, **fields})


def processes(server: Server, model_id: str) -> list[int]:
    """Replicas call themselves by their deployment."""
    return [
        pid for pid, name in process_tree(server.process.pid).items() if name.endswith(f"ServeReplica:tts:{model_id}")
    ]


def a_cold_one(server: Server) -> Callable[..., httpx.Response]:
    """A way to ask a model that is not loaded."""
    return clone if states(server)[BASE] == "cold" else design


def test_asking_how_it_is_loads_nothing(small: Server) -> None:
    before = states(small)
    assert "cold" in before.values()
    for _ in range(3):
        assert states(small) == before
        assert small.get("/readyz").status_code == 200
        assert small.get("/api/v1/tts/voices").status_code == 200
        time.sleep(1.5)
    assert states(small) == before


def test_a_deadline_too_short_for_a_cold_model_is_told_with_when_to_come_back(small: Server) -> None:
    answer = a_cold_one(small)(small, timeout_s=0.05)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_design_follows_clone_follows_design(small: Server) -> None:
    first = clone(small)
    assert first.status_code == 200
    until(lambda: states(small) == only(BASE))
    until(lambda: len(processes(small, BASE)) == 1)  # one that a hurried request ordered may still be leaving
    [process] = processes(small, BASE)
    assert design(small).status_code == 200
    until(lambda: states(small) == only(DESIGNER))  # what the controller said is used for a moment
    until(lambda: not Path(f"/proc/{process}").exists())  # its memory is the system's again
    again = clone(small)
    assert (again.status_code, again.content) == (200, first.content)
    until(lambda: states(small) == only(BASE))


def test_a_built_in_speaker_is_heard(small: Server) -> None:
    spoken = clone(small, voice="vivian")
    assert (spoken.status_code, spoken.headers["x-model"]) == (200, CUSTOM)
    samples_of(spoken.content)
    until(lambda: states(small) == only(CUSTOM))


def test_nobodys_name_wakes_no_model(small: Server) -> None:
    """A name that is no voice's might be that of a speaker in a model that was never loaded."""
    assert clone(small).status_code == 200
    until(lambda: states(small) == only(BASE))
    assert clone(small, voice="nobody").status_code == 404
    assert small.get("/api/v1/tts/voices/nobody").status_code == 404
    assert small.get("/api/v1/tts/voices/vivian").json()["kind"] == "builtin"
    time.sleep(2.0)  # within which Serve would have been told, and the policy have made room
    assert states(small) == only(BASE)


def test_a_new_configuration_takes_over_and_loses_nothing(small: Server) -> None:
    """What runs, streams and comes while models are replaced is answered in full."""
    alone = [clone(small, **SPEECH, stream=stream).content for stream in (False, True)]
    whole, stream = Asked(small, SPEECH), Asked(small, {**SPEECH, "stream": True})
    assert stream.begun.wait(TIMEOUT)
    before = small.config.read_text()
    document = yaml.safe_load(before)
    document["applications"][0]["args"]["max_text_characters"] = 3000
    document["applications"][0]["args"]["models"][0]["slots"] = 3
    try:
        reload(small, yaml.safe_dump(document))
        until(lambda: clone(small, text="a" * 3500, voice="nobody").status_code == 400)  # it was a 404
        assert clone(small).status_code == 200
        assert (whole.status(), stream.status()) == (200, 200)
        assert [whole.heard, stream.heard] == alone
    finally:
        reload(small, before)
        until(lambda: design(small, text="a" * 3500, timeout_s=0.01).status_code != 400)


def reload(server: Server, config: str) -> None:
    server.config.write_text(config)
    os.kill(server.process.pid, signal.SIGUSR1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_everything_starts_ends_it(number: signal.Signals, checkout: Path, tmp_path: Path) -> None:
    starting = start_server(checkout, tmp_path, "serve_config.large.yaml")
    assert starting.process.stdout is not None
    try:
        assert "starting" in starting.process.stdout.readline()
        time.sleep(2)
        starting.send_signal(number)
        assert starting.process.wait(90) == 0  # it finishes starting first, and may take the time to drain
    finally:
        starting.stop()
