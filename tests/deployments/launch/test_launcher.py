import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments import keys
from deployments.launch import launcher, own_ray
from deployments.launch.deployment_file import Launch, LaunchError, read_launch
from deployments.launch.launcher import greeting
from deployments.launch.rollout import check_fixed

MODEL = {"id": "m", "checkpoint": "Qwen3-TTS-12Hz-0.6B-Base", "precision": "bf16", "memory_budget_mb": 1700}

APP = {"name": "tts", "import_path": "deployments.app:build", "args": {"models": [MODEL]}}


def serving(change: dict[str, object]) -> dict[str, object]:
    """The app with its model changed."""
    return {**APP, "args": {"models": [{**MODEL, **change}]}}


def write(directory: Path, host: str | None = "127.0.0.1", **changes: object) -> Path:
    document: dict[str, object] = {
        "http_options": {"port": 8123} | ({} if host is None else {"host": host}),
        "applications": [APP],
        **changes,
    }
    path = directory / "serve_config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty one, and nothing said by the environment but where keys are."""
    for name in ("QWEN3_TTS_WEIGHTS", "QWEN3_TTS_VOICES", "QWEN3_TTS_LOGS", "QWEN3_TTS_API_KEYS", *own_ray.TOKENS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QWEN3_TTS_KEYS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_deployment_file_is_read(tmp_path: Path) -> None:
    launch = read_launch(write(tmp_path))
    assert launch.url == "http://127.0.0.1:8123"
    assert "http://127.0.0.1:8123/api/v1/tts/design" in greeting(launch, "127.0.0.1:6379")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.2", "::", None])
def test_others_are_not_let_in_without_a_key(tmp_path: Path, host: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, host)
    with pytest.raises(LaunchError, match="qwen3-tts key"):
        read_launch(path)
    monkeypatch.setenv("QWEN3_TTS_API_KEYS", "key")
    assert "Bearer" in greeting(read_launch(path), "127.0.0.1:6379")


def test_a_key_in_the_keys_file_is_a_key(tmp_path: Path) -> None:
    path = write(tmp_path, "0.0.0.0")
    keys.add(tmp_path / "keys", "anna")
    assert "Bearer" in greeting(read_launch(path), "127.0.0.1:6379")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"applications": []}, "applications"),
        ({"applications": [{**APP, "import_path": "deployments.ap:build"}]}, "applications.0.import_path"),
        ({"applications": [{**APP, "args": {"models": []}}]}, "applications.0.args.models"),
        ({"applications": [serving({"slot": 1})]}, "applications.0.args.models.0.slot"),
        ({"applications": [serving({"id": "ingress"})]}, "applications.0.args.models.0.id"),
        ({"applications": [{**APP, "rout_prefix": "/"}]}, "applications.0.rout_prefix"),
        ({"applications": [{**APP, "route_prefix": "/tts"}]}, "applications.0.route_prefix"),
        ({"applications": [{**APP, "deployments": [{"name": "n"}]}]}, "applications.0.deployments.0.name"),
        (
            {"applications": [{**APP, "deployments": [{"name": "m", "user_config": {}}]}]},
            "applications.0.deployments.0.user_config",
        ),
        ({"http_options": {"prot": 1}}, "http_options.prot"),
        ({"http_options": {"port": "many"}}, "http_options.port"),
        ({"logging_config": {"log_levle": "INFO"}}, "logging_config.log_levle"),
        ({"logging": {}}, "logging"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_one_line_with_the_key(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(LaunchError, match=rf"^{re.escape(str(path))}: {re.escape(key)}: .+$"):
        read_launch(path)


@pytest.mark.parametrize(
    ("text", "why"), [("", "no keys"), ("a word", "no keys"), ("applications: [}\n", "not a YAML file: .*line 1")]
)
def test_what_is_no_deployment_file_is_one_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "serve_config.yaml"
    with pytest.raises(LaunchError, match=r"^.*: cannot be read: .*$"):
        read_launch(path)
    path.write_text(text)
    with pytest.raises(LaunchError, match=rf"^.*: .*{why}.*$"):
        read_launch(path)


@pytest.mark.parametrize("key", ["voices", "logs"])
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_text("")
    app = {**APP, "args": {"models": [MODEL], key: str(tmp_path / "file" / "folder")}}
    with pytest.raises(LaunchError, match=rf": {key}: .*name a folder that can be written.*QWEN3_TTS_{key.upper()}"):
        read_launch(write(tmp_path, applications=[app]))


def test_keys_that_cannot_be_understood_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a key in clear\n")
    with pytest.raises(LaunchError, match=r": keys_file: line 1"):
        read_launch(write(tmp_path))


def launched(directory: Path, http: dict[str, object], **arguments: object) -> Launch:
    app = {**APP, "args": {"models": [MODEL], **arguments}}
    return read_launch(write(directory, http_options={"host": "127.0.0.1", **http}, applications=[app]))


def test_what_takes_a_new_start_is_refused_by_name(tmp_path: Path) -> None:
    old = launched(tmp_path, {"port": 8123}, memory_mb=4000)
    check_fixed(old, launched(tmp_path, {"port": 8123}, memory_mb=4000, open_listing=True))
    with pytest.raises(LaunchError, match=r"^http_options\.port: "):
        check_fixed(old, launched(tmp_path, {"port": 8124}, memory_mb=4000))
    with pytest.raises(LaunchError, match=r"^memory_mb: "):
        check_fixed(old, launched(tmp_path, {"port": 8123}, memory_mb=5000))


def test_the_server_is_asked_without_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"models": {"m": "ready"}}')

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert launcher.health(launched(tmp_path, {"port": server.server_port})) == {"m": "ready"}


def test_rays_token_is_nobody_elses_from_the_start(home: Path) -> None:
    before = os.umask(0)
    try:
        own_ray.make_token()
    finally:
        os.umask(before)
    token = home / ".ray" / "auth_token"
    assert [path.stat().st_mode & 0o777 for path in (token.parent, token)] == [0o700, 0o600]
    text = token.read_text()
    assert len(text) == 64
    token.chmod(0o644)
    own_ray.make_token()
    assert (token.read_text(), token.stat().st_mode & 0o777) == (text, 0o600)
    assert list(token.parent.iterdir()) == [token]


def test_a_home_that_is_not_there_is_a_sentence(tmp_path: Path, home: Path) -> None:
    home.rmdir()
    program = [sys.executable, "-m", "commands", "serve", str(write(tmp_path))]
    places = {"QWEN3_TTS_VOICES": str(tmp_path / "voices"), "QWEN3_TTS_LOGS": str(tmp_path / "logs")}
    ended = subprocess.run(program, env={**os.environ, **places}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "Ray keeps its token in the home folder" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


SESSION_PROGRAM = """
import os, queue, signal, sys, time
from deployments.launch.session import run_in_own_session

os.register_at_fork(after_in_parent=lambda: time.sleep(0.5))  # a signal may come before the parent goes on
heard = queue.SimpleQueue()

def act():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ray does
    print("session", os.getsid(0) == os.getpid(), flush=True)
    print("heard", heard.get(), flush=True)
    return 7

sys.exit(run_in_own_session(act, heard.put))
"""


@pytest.fixture
def session() -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION_PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "session True\n"
    yield process
    process.stdout.close()
    process.kill()
    process.wait(10)


def test_signals_to_the_group_arrive_once_and_the_status_comes_back(session: "subprocess.Popen[str]") -> None:
    assert session.stdout is not None
    os.killpg(session.pid, signal.SIGHUP)
    assert session.stdout.read() == "heard 1\n"
    assert session.wait(10) == 7


def test_whoever_kills_the_parent_outright_is_heard_as_a_signal_to_stop(session: "subprocess.Popen[str]") -> None:
    assert session.stdout is not None
    session.kill()
    assert session.stdout.read() == "heard 15\n"
