"""`qwen3-tts key`."""

from pathlib import Path

import pytest

from commands import key
from deployments import keys
from deployments.config import key_digest


def test_a_key_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    assert key.main(["--file", str(path), "add", "anna"]) == 0
    said = capsys.readouterr()
    assert "only time" in said.err
    assert keys.read_keys(path) == {"anna": key_digest(said.out.strip())}
    assert key.main(["--file", str(path), "list"]) == 0
    assert capsys.readouterr().out == "anna\n"


def test_what_cannot_be_done_is_one_line_and_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    keys.add(path, "anna")
    for arguments in (["add", "anna"], ["add", "an na"], ["remove", "bert"]):
        assert key.main(["--file", str(path), *arguments]) == 1
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
    assert list(keys.read_keys(path)) == ["anna"]
    assert key.main(["--file", str(path), "remove", "anna"]) == 0
    assert keys.read_keys(path) == {}
