"""Who can reach the running stack, and what they may read."""

import json
import stat
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.e2e.server import Server
from tests.e2e.snippets import run_python, run_shell
from tests.e2e.speech import SPOKEN, SYNTHESIZE
from tests.sockets import listeners, peers


def test_every_listening_socket_is_on_loopback(server: Server) -> None:
    found = listeners(server.process.pid)
    assert server.port in {listener.port for listener in found}
    names = " ".join(listener.process for listener in found)
    for process in ("gcs_server", "raylet", "ServeController", "ProxyActor", "ServeReplica:tts:ingress"):
        assert process in names, f"{process} was not looked at"
    assert [listener for listener in found if not listener.is_loopback] == []


def test_there_is_no_dashboard_and_nothing_is_reported(server: Server) -> None:
    assert 8265 not in {listener.port for listener in listeners(server.process.pid)}
    assert [peer for peer in peers(server.process.pid) if not peer.is_loopback] == []
    server.reports.setblocking(False)
    with pytest.raises(BlockingIOError):  # nobody has come, though Ray was told to report each second
        server.reports.accept()


def test_who_has_no_token_runs_nothing_here(server: Server, tmp_path: Path) -> None:
    program = "import ray; ray.init(address='auto', logging_level='ERROR'); print(ray.get(ray.put('inside')))"
    assert run_python(program, server, tmp_path) == "inside\n"
    for stranger in (f"export HOME={tmp_path}", f"export HOME={tmp_path} RAY_AUTH_MODE=disabled"):
        commands = f"{server.exports}\n{stranger}\n{sys.executable} program.py >out 2>err && echo in || echo out"
        assert run_shell(commands, server, tmp_path) == "out\n"
        assert "authentication" in (tmp_path / "err").read_text().lower()


def test_other_users_cannot_take_rays_token_or_sockets(server: Server) -> None:
    assert stat.S_IMODE((Path.home() / ".ray" / "auth_token").stat().st_mode) == 0o600
    [raylet] = [
        process for process in psutil.Process(server.process.pid).children(recursive=True) if process.name() == "raylet"
    ]
    [directory] = {
        Path(str(connection.laddr)).parents[3] for connection in raylet.net_connections("unix") if str(connection.laddr)
    }
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_the_proxy_speaks_our_form_and_takes_no_orders(server: Server) -> None:
    headers = {"x-request-id": "not an id", "x-request-timeout-seconds": "0.000001"}
    answer = httpx.get(f"{server.url}/api/v1/status", headers=headers)
    assert answer.status_code == 200
    assert " " not in answer.headers["x-request-id"]
    assert httpx.get(f"{server.url}/livez", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"


def test_an_id_of_the_clients_leads_to_the_engines(server: Server) -> None:
    wanted = f"e2e-{uuid4().hex}"
    answer = server.post(SYNTHESIZE, SPOKEN, **{"x-request-id": wanted})
    assert answer.headers["x-request-id"] == wanted
    for process, message in (("ingress", "request ended"), (answer.headers["x-model"], "utterance ended")):
        text = (server.directory / "logs" / f"{process}.jsonl").read_text()
        [line] = [line for line in map(json.loads, text.splitlines()) if line.get("request_id") == wanted]
        assert (line["message"], line["model"]) == (message, answer.headers["x-model"])
        assert line["outcome"] in ("eos", "length", "runaway")
        wanted = line.get("engine_id")


def test_metrics_are_served(server: Server) -> None:
    text = server.get("/metrics").text
    assert 'qwen3_tts_model_state{model="base-small-bf16",state="ready"} 1.0' in text
