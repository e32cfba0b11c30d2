import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deployments import logs
from deployments.config import key_digest
from deployments.errors import DeadlinePassedError
from models import OverloadedError
from tests.deployments.helpers import App, make_clip, make_config

SYNTHESIZE = "/api/v1/tts/synthesize"
SPOKEN = {"text": "A most private sentence.", "voice": "narrator_cloned"}


def broken_off(cause: Exception) -> RuntimeError:
    """As the framework raises what breaks off an answer that has begun."""
    error = RuntimeError("Caught handled exception, but response already started.")
    error.__cause__ = cause
    return error


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Logs of this process go here, and afterwards where they went before."""
    loggers = [logging.getLogger(name) for name in logs.OURS]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    logs.configure(tmp_path / "logs", "ingress")
    yield tmp_path / "logs"
    logging.getLogger(logs.RAYS).filters.clear()
    for handler in loggers[0].handlers:
        handler.close()
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "ingress.jsonl").read_text().splitlines()]


def test_a_request_is_one_line_with_the_id_that_the_client_sees(app: App, directory: Path) -> None:
    answer = app.http.post(SYNTHESIZE, json={**SPOKEN, "stream": True, "format": "pcm"})
    app.http.get("/livez")
    [line] = lines(directory)
    assert (line["level"], line["message"], line["route"]) == ("INFO", "request ended", SYNTHESIZE)
    assert (line["status"], line["outcome"], line["model"]) == (200, "eos", "base-small-bf16")
    assert line["audio_s"] == pytest.approx(0.4)
    assert 0 < line["ttfa_s"] <= line["duration_s"]
    assert line["rtf"] > 0
    assert line["ts"].endswith("+00:00")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert app.engines["base-small-bf16"].requests[-1].request_id == line["engine_id"]


@pytest.mark.parametrize("ids", [("a", "a-1"), ("a", "a")])
def test_what_clients_call_their_requests_is_nothing_to_the_engine(tmp_path: Path, ids: tuple[str, str]) -> None:
    """The second request ends while the second passage of the first is spoken, which has once been called `a-1` too."""
    app = App(make_config(tmp_path / "voices", max_passage_characters=24))
    texts = ("[frames 30] one two. [frames 60] three four.", "[frames 50] five six.")
    bodies = [{**SPOKEN, "text": text, "format": "pcm"} for text in texts]
    with app.http as client, ThreadPoolExecutor(2) as pool:
        posts = [
            pool.submit(client.post, SYNTHESIZE, json=body, headers={"x-request-id": each})
            for body, each in zip(bodies, ids, strict=True)
        ]
    assert [len(post.result().content) for post in posts] == [90 * 3840, 50 * 3840]
    engine_ids = {request.request_id for request in app.engines["base-small-bf16"].requests}
    assert len(engine_ids) == 3
    assert not engine_ids & {"a", "a-1"}


def test_what_is_said_and_who_says_it_stays_private(tmp_path: Path, directory: Path) -> None:
    app = App(make_config(tmp_path / "voices", api_keys=[key_digest("secret-key")]))
    key = {"Authorization": "Bearer secret-key"}
    secrets = ["private sentence", "secret-key", "hidden sailor", "whispered", "[crash]", "wrong-key"]
    app.http.post(SYNTHESIZE, json=SPOKEN, headers=key)
    app.http.post(SYNTHESIZE, json=SPOKEN, headers={"Authorization": "Bearer wrong-key"})
    app.http.post(SYNTHESIZE, json={**SPOKEN, "language": "hidden sailor"}, headers=key)
    app.http.post("/api/v1/tts/design", json={"text": "whispered", "description": "hidden sailor"}, headers=key)
    app.broken.post(SYNTHESIZE, json={**SPOKEN, "text": "whispered [crash]"}, headers=key)
    form = {"voice_name": "hidden sailor", "reference_text": "whispered"}
    app.http.post("/api/v1/tts/clone", data=form, files={"reference_audio": make_clip()}, headers=key)
    written = lines(directory)
    assert len(written) >= 6
    assert [secret for secret in secrets if secret in json.dumps(written)] == []
    assert any(line.get("status") == 500 for line in written)


def test_a_stream_that_breaks_off_is_one_line(app: App, directory: Path) -> None:
    body = {**SPOKEN, "text": "[fail 20]", "stream": True, "format": "pcm"}
    assert len(app.broken.post(SYNTHESIZE, json=body).content) == 20 * 3840
    [line] = lines(directory)
    assert (line["message"], line["status"]) == ("request ended", 200)
    assert (line["outcome"], line["error"]) == ("failed", "GenerationError")


def test_exceptions_keep_their_trace(directory: Path) -> None:
    try:
        raise RuntimeError("it broke")
    except RuntimeError:
        logging.getLogger("models.engine.loop").exception("failed", extra={"request_id": "abc"})
    [line] = lines(directory)
    assert (line["logger"], line["request_id"]) == ("models.engine.loop", "abc")
    assert "RuntimeError: it broke" in line["exception"]


@pytest.mark.usefixtures("directory")
def test_a_directory_that_cannot_be_written_costs_the_file_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    logs.configure(tmp_path / "file" / "logs", "ingress")
    logging.getLogger("deployments").info("still here")
    assert not (tmp_path / "file" / "logs").exists()


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (OverloadedError("full", 1.0), False),
        (broken_off(DeadlinePassedError("late")), False),
        (RuntimeError("a fault"), True),
        (broken_off(ValueError("a fault")), True),
    ],
)
def test_ray_logs_faults_and_not_refusals(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception, logged: bool
) -> None:
    monkeypatch.setattr(logging.getLogger(logs.RAYS), "propagate", True)
    logging.getLogger(logs.RAYS).error("Request failed.", exc_info=error)
    assert bool(caplog.records) == logged


WRITER = """
import logging, sys
from pathlib import Path
from deployments import logs

logs.FILE_BYTES, logs.FILES = 20_000, 1000
logs.configure(Path(sys.argv[1]), "model", "model")
for number in range(2000):
    logging.getLogger("models").info(f"{sys.argv[2]} {number}")
"""


def test_two_replicas_that_overlap_lose_no_line(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in ("old", "new")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    files = list(tmp_path.glob("model.jsonl*"))
    assert len(files) > 10
    assert all(file.stat().st_size <= 20_000 for file in files)
    written = [json.loads(line)["message"] for file in files for line in file.read_text().splitlines()]
    assert sorted(written) == sorted(f"{name} {number}" for name in ("old", "new") for number in range(2000))
