"""The commands in scripts/: what they install and when, and that each of them speaks."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path

import pytest

from tests.e2e.server import ROOT, make_checkout
from tests.sockets import free_port
from tests.waiting import TIMEOUT

# Instead of a Python: notes what it is told, makes an environment whose Python is itself, and knows no more of indexes
# than the test says.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  -c*) ;;
  *"pip config list") echo "${PIP_CONFIG:-}" ;;
  scripts/_cpu_torch.py) echo "${CPU_TORCH?}" ;;
  *) echo "$*" >>"${CALLS}" ;;
esac
if [[ "$*" == "-m venv .venv" ]]; then
  mkdir -p .venv/bin
  ln -s "${PYTHON}" .venv/bin/python
fi
"""
UV = """#!/usr/bin/env bash
echo "uv $*" >>"${CALLS}"
"""
MAKE = "-m venv .venv"
PIP = "-m pip install --disable-pip-version-check --quiet --progress-bar on"
INSTALL = f"{PIP} -e ."
UV_INSTALL = "uv pip install --python .venv/bin/python --no-sources"
CPU_TORCH = "--index-url http://127.0.0.1/cpu torch==9.9.9"
TOOLS = ("bash", "dirname", "env", "find", "grep", "ln", "mkdir")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A clone in which nothing was run yet, with a Python and the tools of a shell beside it, but not uv."""
    clone = tmp_path / "clone"
    (clone / "models" / "native" / "src").mkdir(parents=True)
    (clone / "scripts").symlink_to(ROOT / "scripts")
    for name in ("pyproject.toml", "setup.py"):
        (clone / name).touch()
    make_command(tmp_path / "python", PYTHON)
    (tmp_path / "path").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "path" / tool).symlink_to(found)
    return clone


def make_command(path: Path, program: str) -> None:
    path.write_text(program)
    path.chmod(0o700)


def told(clone: Path, *command: str, **environment: str) -> list[str]:
    """What a script told its Python, or uv, to do: not what it only asked."""
    calls = clone.parent / "calls"
    calls.write_text("")
    settings = {"PATH": str(clone.parent / "path"), "PYTHON": str(clone.parent / "python"), "CALLS": str(calls)}
    subprocess.run(command, cwd=clone, env={**settings, **environment}, check=True, timeout=TIMEOUT)
    return calls.read_text().splitlines()


def test_the_first_run_installs_and_the_next_ones_only_what_has_changed(fresh: Path) -> None:
    serve = "-m commands serve mine.yaml"
    assert told(fresh, "scripts/serve", "mine.yaml") == [MAKE, INSTALL, serve]
    assert told(fresh, "scripts/serve", "mine.yaml") == [serve]
    changed(fresh / "models" / "native" / "src" / "linear.cpp")
    assert told(fresh, "scripts/serve", "mine.yaml") == [INSTALL, serve]


def test_what_was_once_installed_is_kept(fresh: Path) -> None:
    bench, key = "-m commands bench --output docs/PERFORMANCE.md", "-m commands key list"
    assert told(fresh, "scripts/key", "list") == [MAKE, INSTALL, key]
    assert told(fresh, "scripts/bench") == [f"{INSTALL}[reference]", bench]
    assert told(fresh, "scripts/key", "list") == [key]
    assert told(fresh, "scripts/test", "-x") == [f"{INSTALL}[dev]", "-m pytest -x"]
    assert told(fresh, "scripts/bench") == [bench]
    changed(fresh / "pyproject.toml")
    assert told(fresh, "scripts/key", "list") == [f"{INSTALL}[dev]", key]


@pytest.mark.parametrize("file", ["serve_config.yaml", "mine.yaml"])
def test_the_published_package_is_installed_when_the_deployment_file_asks_for_it(fresh: Path, file: str) -> None:
    (fresh / file).write_text("models:\n  - id: other # not backend: reference\n")
    named = [] if file == "serve_config.yaml" else [file]
    serve = " ".join(["-m commands serve", *named])
    assert told(fresh, "scripts/serve", *named) == [MAKE, INSTALL, serve]
    (fresh / file).write_text("models:\n  - id: other\n    backend: reference # slow\n")
    assert told(fresh, "scripts/serve", *named) == [f"{INSTALL}[reference]", serve]
    assert told(fresh, "scripts/serve", "another.yaml") == ["-m commands serve another.yaml"]


def test_torch_comes_from_the_cpu_index_where_it_answers(fresh: Path) -> None:
    key = "-m commands key list"
    torch = f"{PIP} --no-deps {CPU_TORCH}"
    assert told(fresh, "scripts/key", "list", CPU_TORCH=CPU_TORCH) == [MAKE, torch, INSTALL, key]


def test_uv_installs_where_it_is_there(fresh: Path) -> None:
    make_command(fresh.parent / "path" / "uv", UV)
    by_uv = [f"{UV_INSTALL} --no-deps {CPU_TORCH}", f"{UV_INSTALL} -e .", "-m commands key list"]
    assert told(fresh, "scripts/key", "list", CPU_TORCH=CPU_TORCH) == [MAKE, *by_uv]


def test_pip_installs_where_the_cpu_index_does_not_answer(fresh: Path) -> None:
    """It may know of packages on this machine, which uv does not look for."""
    make_command(fresh.parent / "path" / "uv", UV)
    assert told(fresh, "scripts/key", "list") == [MAKE, INSTALL, "-m commands key list"]


@pytest.mark.parametrize(
    ("settings", "install"),
    [
        ({"PIP_CONFIG": ":env:.index-url='https://mirror'"}, INSTALL),
        ({"PIP_CONFIG": "global.no-index='true'"}, INSTALL),
        ({"UV_DEFAULT_INDEX": "https://mirror"}, f"{UV_INSTALL} -e ."),
    ],
)  # fmt: skip
def test_who_named_an_index_gets_everything_from_it(fresh: Path, settings: dict[str, str], install: str) -> None:
    make_command(fresh.parent / "path" / "uv", UV)
    done = told(fresh, "scripts/key", "list", CPU_TORCH=CPU_TORCH, **settings)
    assert done == [MAKE, install, "-m commands key list"]
    shutil.rmtree(fresh / ".venv")
    more = {"PIP_CONFIG": "global.extra-index-url='file:///packages'"}
    assert len(told(fresh, "scripts/key", "list", CPU_TORCH=CPU_TORCH, **more)) == 4


@contextmanager
def index(page: str) -> Generator[str]:
    """A package index on this machine; its URL."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/cpu/torch/" else 404)
            self.end_headers()
            self.wfile.write(page.encode())

    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/cpu"
        server.shutdown()


def cpu_torch(directory: Path, url: str, version: str = "9.9.9") -> "subprocess.CompletedProcess[str]":
    """What the script says of a project that wants this version from this index."""
    uv = f"[[tool.uv.index]]\nname = 'cpu'\nurl = '{url}'\n"
    (directory / "pyproject.toml").write_text(f"[project]\ndependencies = ['torch=={version}']\n{uv}")
    command = [sys.executable, str(ROOT / "scripts" / "_cpu_torch.py")]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def wheel(python: str, system: str = f"manylinux_2_28_{platform.machine()}") -> str:
    name = f"torch-9.9.9%2Bcpu-{python}-{python}-{system}.whl"
    return f'<a href="/whl/cpu/{name}">{name}</a><br>'


def test_the_cpu_build_for_this_machine_is_found(tmp_path: Path) -> None:
    here = "cp{}{}".format(*sys.version_info)
    with index(wheel("cp27") + wheel(here)) as url:
        done = cpu_torch(tmp_path, url)
        assert (done.returncode, done.stdout) == (0, f"--index-url {url} torch==9.9.9\n")
    for other in (wheel("cp27") + wheel("cp28"), wheel(here, "riscv")):
        with index(other) as url:
            done = cpu_torch(tmp_path, url)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
            assert "no torch==9.9.9 for this machine" in done.stderr


def test_an_index_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = cpu_torch(tmp_path, f"http://127.0.0.1:{free_port()}/cpu")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "refused" in done.stderr
    with index("") as url:
        assert "Not Found" in cpu_torch(tmp_path, f"{url}/elsewhere").stderr


def test_an_index_that_says_nothing_is_not_waited_for_long(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        done = cpu_torch(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/cpu")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert 4 < time.monotonic() - began < 20


def test_torch_that_is_there_is_kept(tmp_path: Path) -> None:
    version = metadata.version("torch").partition("+")[0]
    done = cpu_torch(tmp_path, f"http://127.0.0.1:{free_port()}/cpu", version)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_projects_own_settings_are_understood() -> None:
    """Whatever the network: torch is there, where tests run."""
    command = [sys.executable, "scripts/_cpu_torch.py"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=TIMEOUT, check=True).stdout == b""


def changed(path: Path) -> None:
    path.touch()
    later = time.time() + 1  # the clock of a file system may be coarse
    os.utime(path, (later, later))


def test_a_python_that_is_too_old_is_not_taken(fresh: Path) -> None:
    (fresh.parent / "python").write_text("#!/bin/sh\nexit 1\n")
    environment = {"PATH": str(fresh.parent / "path"), "PYTHON": str(fresh.parent / "python")}
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
