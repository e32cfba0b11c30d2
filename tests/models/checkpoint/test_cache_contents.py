"""What is in the cache goes when nobody uses it: the oldest first, and never what is mapped."""

import gc
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.cache import listing, prune
from models.checkpoint import cache_contents
from models.checkpoint.cache_contents import Entry, embedded_entries, packed_entries, trim
from models.checkpoint.checkpoint import open_checkpoint
from models.storage.packed_cache import PackedTensors, open_packed

MIB = 2**20
BUILT = 2 * MIB  # the header's room and the tensor
DAY = 86_400


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QWEN3_TTS_CACHE", str(tmp_path))
    return tmp_path


def _build() -> Iterator[tuple[str, Tensor]]:
    yield "a", torch.zeros(MIB, dtype=torch.uint8)


def _open(fingerprint: str) -> PackedTensors:
    return open_packed(fingerprint, "nf4", "layout", _build)


def _path_of(fingerprint: str, known: set[Path]) -> Path:
    """Packs it and drops it again."""
    _open(fingerprint)
    gc.collect()
    [new] = {entry.path for entry in packed_entries()} - known
    return new


def _used(path: Path, days_ago: float) -> None:
    moment = time.time_ns() - int(days_ago * DAY * 1e9)
    os.utime(path, ns=(moment, path.stat().st_mtime_ns if path.is_file() else moment))


@pytest.fixture
def files() -> dict[str, Path]:
    """Three packed files, used ten, twenty and thirty days ago."""
    made: dict[str, Path] = {}
    for number, fingerprint in enumerate("abc"):
        made[fingerprint] = _path_of(fingerprint, set(made.values()))
        _used(made[fingerprint], 10 * (number + 1))
    return made


def _left(files: dict[str, Path]) -> str:
    return "".join(name for name, path in files.items() if path.exists())


@pytest.mark.parametrize(("limit", "left"), [(100, "abc"), (7, "abc"), (5, "ab"), (3, "a"), (0, "")])
def test_what_was_used_longest_ago_goes_first(files: dict[str, Path], limit: int, left: str) -> None:
    gone = trim(limit * MIB)
    assert _left(files) == left
    assert len(gone) == 3 - len(left)


def test_what_was_used_of_late_may_be_spared(files: dict[str, Path]) -> None:
    trim(0, spared_s=15 * DAY)
    assert _left(files) == "a"


def test_opening_is_using(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = _open("c")
    assert float(mapped["a"].sum()) == 0
    del mapped
    gc.collect()

    def refuse_to_read(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("models.storage.digest._digest", refuse_to_read)
    _open("c")  # its digest is still known
    gc.collect()
    trim(3 * MIB)
    assert _left(files) == "c"


def test_what_is_in_use_stays_and_is_told(files: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    tensor = _open("c")["a"]  # all that is left of what was opened
    gc.collect()
    _used(files["c"], 99)
    assert [entry.in_use for entry in packed_entries()] == [True, False, False]
    trim(1)
    assert _left(files) == "c"
    assert "of late take 2 MiB, 0 are allowed" in caplog.text
    del tensor
    gc.collect()
    trim(1)
    assert _left(files) == ""


def _use(fingerprint: str, ready: Event, leave: Event) -> None:
    mapped = _open(fingerprint)
    ready.set()
    leave.wait(60)
    os._exit(int(mapped["a"][0]))


def test_what_another_process_uses_stays_until_it_is_gone(files: dict[str, Path]) -> None:
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    process = context.Process(target=_use, args=("b", ready, leave))
    process.start()
    assert ready.wait(60)
    trim(0)
    assert _left(files) == "b"
    leave.set()
    process.join(60)
    trim(0)
    assert _left(files) == ""


def test_what_is_being_packed_is_left_alone(cache: Path, files: dict[str, Path]) -> None:
    gone: list[Entry] = []

    def trimming() -> Iterator[tuple[str, Tensor]]:
        for path in (cache / "packed").glob(".*"):
            os.utime(path, (0, 0))
        gone.extend(trim(0))
        yield from _build()

    assert float(open_packed("d", "nf4", "layout", trimming)["a"].sum()) == 0
    assert {entry.path for entry in gone} == set(files.values())


def test_what_killed_writers_left_goes_after_an_hour(cache: Path, files: dict[str, Path]) -> None:
    subject = files["a"].name.split("-")[0]
    names = [f".{subject}-x.unnamed-abc", f"{subject}-x.unnamed", f".{'0' * 16}-x.unnamed-abc"]
    for name in names:
        (cache / "packed" / name).write_bytes(b"half")
    assert trim(100 * MIB) == []
    for name in names:
        os.utime(cache / "packed" / name, (0, 0))
    assert sorted(entry.path.name for entry in trim(100 * MIB)) == sorted(names)
    assert _left(files) == "abc"


def test_embedded_checkpoints_of_other_versions_go_after_a_week(cache: Path) -> None:
    current = open_checkpoint("embedded:custom_voice").path
    _used(current, 30)
    old, recent, left = (cache / "embedded" / name for name in ("base-000000000000", "base-1", ".base-2-abc"))
    for directory, days in ((old, 8.0), (recent, 6.0), (left, 0.1)):
        directory.mkdir()
        (directory / "model.safetensors").write_bytes(b"weights")
        _used(directory, days)
    trim(0)
    assert {path for path in (current, old, recent, left) if path.exists()} == {current, recent}


def test_an_embedded_checkpoint_that_is_mapped_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint("embedded:custom_voice")
    tensor = checkpoint.model.tensor("talker.codec_head.weight")
    monkeypatch.setattr(cache_contents, "current_names", set[str])
    _used(checkpoint.path, 30)
    trim(0)
    assert [entry.in_use for entry in embedded_entries()] == [True]
    del tensor, checkpoint
    gc.collect()
    trim(0)
    assert embedded_entries() == []


def test_what_is_there_is_listed_and_removed(files: dict[str, Path]) -> None:
    held = _open("a")
    said = listing()
    assert "3 entries, 6 MiB" in said
    for path in files.values():
        assert f"packed/{path.name}" in said
    assert said.count("in use") == 1
    assert "removed 2 entries, 4 MiB" in prune(3)
    assert _left(files) == "a"
    assert held["a"].numel() == MIB


def test_an_empty_cache_is_nothing_to_worry_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert trim(0) == []
    assert not caplog.records
    assert "0 entries" in listing()
