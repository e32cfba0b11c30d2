import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments import keys
from deployments.launcher import LaunchError, greeting, read_launch

MODEL = {"id": "m", "checkpoint": "Qwen3-TTS-12Hz-0.6B-Base", "precision": "bf16", "memory_budget_mb": 1700}


def write(directory: Path, host: str | None = "127.0.0.1", **changes: object) -> Path:
    document: dict[str, object] = {
        "http_options": {"port": 8123} | ({} if host is None else {"host": host}),
        "applications": [{"name": "tts", "import_path": "deployments.app:build", "args": {"models": [MODEL]}}],
        **changes,
    }
    path = directory / "serve_config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("QWEN3_TTS_WEIGHTS", "QWEN3_TTS_VOICES", "QWEN3_TTS_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QWEN3_TTS_KEYS_FILE", str(tmp_path / "keys"))


def test_a_deployment_file_is_read(tmp_path: Path) -> None:
    launch = read_launch(write(tmp_path))
    assert launch.url == "http://127.0.0.1:8123"
    assert "http://127.0.0.1:8123/api/v1/tts/design" in greeting(launch, "127.0.0.1:6379")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.2", "::", None])
def test_others_are_not_let_in_without_a_key(tmp_path: Path, host: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, host)
    with pytest.raises(LaunchError, match="scripts/key"):
        read_launch(path)
    monkeypatch.setenv("QWEN3_TTS_API_KEYS", "key")
    assert "Bearer" in greeting(read_launch(path), "127.0.0.1:6379")


def test_a_key_in_the_keys_file_is_a_key(tmp_path: Path) -> None:
    path = write(tmp_path, "0.0.0.0")
    keys.add(tmp_path / "keys", "anna")
    assert "Bearer" in greeting(read_launch(path), "127.0.0.1:6379")


@pytest.mark.parametrize("changes", [{"applications": []}, {"applications": [{"name": "tts", "args": {"models": []}}]}])
def test_what_is_no_deployment_file_is_an_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(LaunchError, match="not a deployment file"):
        read_launch(write(tmp_path, **changes))
    with pytest.raises(LaunchError, match="not a deployment file"):
        read_launch(tmp_path / "missing.yaml")


SESSION_PROGRAM = """
import os, queue, signal, sys
from deployments.session import run_in_own_session

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
    os.killpg(session.pid, signal.SIGINT)
    assert session.stdout.read() == "heard 2\n"
    assert session.wait(10) == 7


def test_whoever_kills_the_parent_outright_is_heard_as_a_signal_to_stop(session: "subprocess.Popen[str]") -> None:
    assert session.stdout is not None
    session.kill()
    assert session.stdout.read() == "heard 15\n"
