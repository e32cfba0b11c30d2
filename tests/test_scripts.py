"""The commands in scripts/: what they install and when, and that each of them speaks."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.server import ROOT, make_checkout
from tests.waiting import TIMEOUT

# Instead of a Python: notes what it is told, and makes an environment whose Python is itself.
PYTHON = """#!/usr/bin/env bash
echo "$*" >>"${CALLS}"
if [[ "$*" == "-m venv .venv" ]]; then
  mkdir -p .venv/bin
  ln -s "${PYTHON}" .venv/bin/python
fi
"""
INSTALL = "-m pip install --disable-pip-version-check --quiet --progress-bar on -e ."


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A clone in which nothing was run yet, and a Python beside it."""
    clone = tmp_path / "clone"
    (clone / "models" / "native" / "src").mkdir(parents=True)
    (clone / "scripts").symlink_to(ROOT / "scripts")
    for name in ("pyproject.toml", "setup.py"):
        (clone / name).touch()
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o700)
    return clone


def told(clone: Path, *command: str) -> list[str]:
    """What a script told its Python to do, without the question which version it is."""
    calls = clone.parent / "calls"
    calls.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHON": str(clone.parent / "python"), "CALLS": str(calls)}
    subprocess.run(command, cwd=clone, env=environment, check=True, capture_output=True, timeout=TIMEOUT)
    return [line for line in calls.read_text().splitlines() if not line.startswith("-c")]


def test_the_first_run_installs_and_the_next_ones_only_what_has_changed(fresh: Path) -> None:
    serve = "-m deployments.launch.launcher mine.yaml"
    assert told(fresh, "scripts/serve", "mine.yaml") == ["-m venv .venv", INSTALL, serve]
    assert told(fresh, "scripts/serve", "mine.yaml") == [serve]
    changed(fresh / "models" / "native" / "src" / "linear.cpp")
    assert told(fresh, "scripts/serve", "mine.yaml") == [INSTALL, serve]


def test_what_tests_need_is_kept_once_it_is_there(fresh: Path) -> None:
    assert told(fresh, "scripts/test", "-x") == ["-m venv .venv", f"{INSTALL}[dev]", "-m pytest -x"]
    assert told(fresh, "scripts/key", "list") == ["-m deployments.keys list"]
    changed(fresh / "pyproject.toml")
    assert told(fresh, "scripts/key", "list") == [f"{INSTALL}[dev]", "-m deployments.keys list"]


def changed(path: Path) -> None:
    path.touch()
    later = time.time() + 1  # the clock of a file system may be coarse
    os.utime(path, (later, later))


def test_a_python_that_is_too_old_is_not_taken(fresh: Path) -> None:
    (fresh.parent / "python").write_text("#!/bin/sh\nexit 1\n")
    path = fresh.parent / "path"
    path.mkdir()
    for tool in ("bash", "dirname", "env", "find"):
        found = shutil.which(tool)
        assert found is not None
        (path / tool).symlink_to(found)
    environment = {"PATH": str(path), "PYTHON": str(fresh.parent / "python")}
    refused = subprocess.run(
        ["scripts/serve"], cwd=fresh, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert refused.returncode != 0
    assert "Python 3.11 or newer is needed" in refused.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("serve --help", "CONFIG|config"),
        ("key --help", "add"),
        ("doctor --help", "machine"),
        ("bench --help", "frames"),
        ("test --collect-only tests/voices/test_voice_name.py", "tests collected"),
    ],
)
def test_each_command_speaks(command: str, words: str, tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    script, *arguments = command.split()
    said = subprocess.run(
        [f"scripts/{script}", *arguments], cwd=checkout, capture_output=True, text=True, timeout=TIMEOUT, check=True
    ).stdout
    assert re.search(words, said)


def test_no_command_is_forgotten() -> None:
    """`scripts/check` takes no arguments and is a part of .ci/run."""
    found = {path.name for path in (ROOT / "scripts").iterdir() if not path.name.startswith("_")}
    assert found == {"bench", "check", "doctor", "key", "serve", "test"}
    assert all(os.access(ROOT / "scripts" / name, os.X_OK) for name in found)
