"""Digests that are remembered until the file changes."""

import hashlib
import os
from pathlib import Path

import pytest

from models.errors import CheckpointError
from models.storage.digest import content_digest


def refuse_to_read(path: Path) -> str:
    raise AssertionError(f"{path} was read again")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QWEN3_TTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10_000_000)
    return path


def test_is_sha256(file: Path) -> None:
    assert content_digest(file) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_is_read_once_however_the_file_is_named(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digest = content_digest(file)
    monkeypatch.setattr("models.storage.digest._digest", refuse_to_read)
    assert content_digest(file) == digest
    (tmp_path / "link").symlink_to(file)
    assert content_digest(tmp_path / "link") == digest
    assert content_digest(file.rename(tmp_path / "renamed")) == digest


def test_follows_the_content(file: Path) -> None:
    before = content_digest(file)
    changed = file.stat().st_mtime_ns
    with file.open("r+b") as open_file:
        open_file.write(b"y")
    os.utime(file, ns=(changed + 1, changed + 1))
    assert content_digest(file) != before


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64])
def test_a_damaged_memory_is_computed_again(file: Path, cache: Path, content: bytes) -> None:
    digest = content_digest(file)
    [note] = (cache / "digests").iterdir()
    note.write_bytes(content)
    assert content_digest(file) == digest


def test_does_without_a_memory(file: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.write_text("a file where the directory should be")
    assert content_digest(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "next start will be slower" in caplog.text


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        content_digest(tmp_path / "nowhere")
