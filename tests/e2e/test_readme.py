"""README's commands and snippets, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployments.helpers import make_clip
from tests.e2e.conftest import ROOT, Server
from tests.e2e.test_serve import samples_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
TIMEOUT = 120.0


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def _run(command: list[str], directory: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _shell(block: str, server: Server, directory: Path) -> str:
    command = block.replace("http://127.0.0.1:8000", server.url).replace("curl ", "curl -sS --fail-with-body ")
    return _run(["bash", "-ec", command], directory)


def test_curl_commands(server: Server, tmp_path: Path) -> None:
    blocks = [block for block in _blocks("bash") if "curl" in block]
    assert len(blocks) == 2
    (tmp_path / "anna.wav").write_bytes(make_clip())
    for block in blocks:
        _shell(block, server, tmp_path)
    for name in ("cloned.wav", "designed.wav"):
        samples_of((tmp_path / name).read_bytes())


@pytest.mark.parametrize("block", _blocks("python"), ids=lambda block: block.split("\n")[0])
def test_python_snippets(block: str, server: Server, tmp_path: Path) -> None:
    _run([sys.executable, "-c", block.replace("http://127.0.0.1:8000", server.url)], tmp_path)
    if "stream_to_file" in block:
        assert (tmp_path / "hello.wav").stat().st_size > 1920


def test_the_two_commands_are_there() -> None:
    first = _blocks("bash")[0]
    scripts = re.findall(r"^(scripts/\w+)", first, flags=re.MULTILINE)
    assert scripts == ["scripts/serve", "scripts/test"]
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
