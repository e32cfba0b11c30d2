"""`qwen3-tts serve` and `config`: which deployment file is served."""

from pathlib import Path

import pytest

from commands import config, serve
from deployments.launch import SHIPPED_FILE
from tests.e2e.server import ROOT


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The files that would be served, instead of serving them; an empty working directory."""
    monkeypatch.chdir(tmp_path)
    files: list[Path] = []

    def serve_file(path: Path) -> int:
        files.append(path)
        return 3

    monkeypatch.setattr(serve, "serve_file", serve_file)
    return files


def test_the_file_that_is_named_is_served(served: list[Path]) -> None:
    Path("serve_config.yaml").touch()
    assert serve.main(["mine.yaml"]) == 3
    assert served == [Path("mine.yaml")]


def test_the_file_that_lies_here_is_served_before_the_shipped_one(served: list[Path]) -> None:
    serve.main([])
    Path("serve_config.yaml").touch()
    serve.main([])
    assert served == [SHIPPED_FILE, Path("serve_config.yaml")]


def test_the_shipped_file_is_the_repositorys(capsys: pytest.CaptureFixture[str]) -> None:
    assert config.main([]) == 0
    assert capsys.readouterr().out == (ROOT / "serve_config.yaml").read_text(encoding="utf-8")
