"""`qwen3-tts`: which command it is, and what becomes of its status."""

import os
import signal
import subprocess
import sys
from importlib import import_module, metadata

import pytest

from commands.main import COMMANDS, main
from tests.waiting import TIMEOUT


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for name, about in COMMANDS.items():
        assert f"  {name} " in said
        assert about in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: qwen3-tts {name} ")


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sreve"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "'sreve'" in said.err
    assert all(name in said.err for name in COMMANDS)


def test_no_command_is_help_and_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.split()[0]) == ("", "usage:")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == metadata.version("qwen3-tts-cpu")


def test_the_status_is_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def act(arguments: list[str]) -> int:
        given.append(arguments)
        return 7

    monkeypatch.setattr(import_module("commands.bench"), "main", act)
    assert main(["bench", "--frames", "3"]) == 7
    assert given == [["--frames", "3"]]


INTERRUPTED = """
import os, signal, sys
from commands import bench, main

bench.main = lambda arguments: signal.raise_signal(signal.SIGINT)
sys.exit(main.main(["bench"]))
"""


def test_ctrl_c_ends_a_command_without_a_word() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], env=os.environ, capture_output=True, timeout=TIMEOUT, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.SIGINT, b"", b"")
