"""The packed cache: written once, whole or not at all, made again when damaged."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.storage import file_lock, packed_cache
from models.storage.packed_cache import open_packed


class _Builder:
    """Counts how often it is asked."""

    def __init__(self, fill: float = 1.0) -> None:
        self.calls = 0
        self._fill = fill

    def __call__(self) -> Iterator[tuple[str, Tensor]]:
        self.calls += 1
        yield "a", torch.full((3, 5), self._fill)
        yield "b", torch.arange(10_001, dtype=torch.uint8)
        yield "c", torch.full((7,), self._fill, dtype=torch.bfloat16)


def refuse_to_read(path: Path) -> str:
    raise AssertionError(f"{path} was read again")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QWEN3_TTS_CACHE", str(tmp_path))
    return tmp_path / "packed"


def _only_file(cache: Path) -> Path:
    [path] = cache.glob("*.safetensors")
    return path


def test_built_once_and_mapped_aligned(cache: Path) -> None:
    build = _Builder()
    for _ in range(3):
        packed = open_packed("f", "nf4", "layout-1", build)
        expected = dict(_Builder()())
        for name, tensor in expected.items():
            assert torch.equal(packed[name], tensor)
            assert packed[name].data_ptr() % 64 == 0
    assert build.calls == 1
    assert not [path for path in cache.iterdir() if path.name.startswith(".")], "no temporary file is left"


@pytest.mark.parametrize(("fingerprint", "purpose"), [("g", "nf4"), ("f", "int8")])
def test_other_weights_and_other_purposes_are_other_files(fingerprint: str, purpose: str) -> None:
    open_packed("f", "nf4", "layout-1", _Builder(1.0))
    assert float(open_packed(fingerprint, purpose, "layout-1", _Builder(2.0))["a"][0, 0]) == 2.0
    assert float(open_packed("f", "nf4", "layout-1", _Builder(3.0))["a"][0, 0]) == 1.0


def test_layouts_of_the_same_weights_stand_side_by_side(cache: Path) -> None:
    builds = {layout: _Builder(fill) for layout, fill in (("layout-1", 1.0), ("layout-2", 2.0))}
    for _ in range(3):  # two versions of the package, started in turns
        for layout, build in builds.items():
            assert float(open_packed("f", "nf4", layout, build)["a"][0, 0]) == float(layout[-1])
    assert [build.calls for build in builds.values()] == [1, 1]
    assert len(list(cache.glob("*.safetensors"))) == 2


def test_a_builder_that_fails_leaves_the_last_layout() -> None:
    open_packed("f", "nf4", "layout-1", _Builder(1.0))

    def broken() -> Iterator[tuple[str, Tensor]]:
        yield "a", torch.zeros(3)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        open_packed("f", "nf4", "layout-2", broken)
    build = _Builder(2.0)
    assert float(open_packed("f", "nf4", "layout-1", build)["a"][0, 0]) == 1.0
    assert build.calls == 0


@pytest.mark.parametrize("damage", ["truncate", "empty", "garbage", "flip"])
def test_what_is_damaged_is_made_again(damage: str, cache: Path) -> None:
    open_packed("f", "nf4", "layout", _Builder())
    path = _only_file(cache)
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "garbage":
        path.write_bytes(b"\xff" * len(content))
    else:
        content[content.rindex(bytes(range(100)))] ^= 1
        path.write_bytes(content)
    build = _Builder()
    assert torch.equal(open_packed("f", "nf4", "layout", build)["b"], torch.arange(10_001, dtype=torch.uint8))
    assert build.calls == 1


def test_a_builder_that_fails_leaves_nothing(cache: Path) -> None:
    def broken() -> Iterator[tuple[str, Tensor]]:
        yield "a", torch.zeros(3)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        open_packed("f", "nf4", "layout", broken)
    assert not list(cache.glob("*.safetensors"))
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]
    assert open_packed("f", "nf4", "layout", _Builder())


def test_another_format_version_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    open_packed("f", "nf4", "layout", _Builder(1.0))
    monkeypatch.setattr("models.storage.packed_cache._FORMAT_VERSION", 99)
    assert float(open_packed("f", "nf4", "layout", _Builder(2.0))["a"][0, 0]) == 2.0


def test_whole_files_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    open_packed("f", "nf4", "layout", _Builder())
    monkeypatch.setattr("models.storage.digest._digest", refuse_to_read)
    assert open_packed("f", "nf4", "layout", _Builder())


def _die_while_building() -> None:
    def build() -> Iterator[tuple[str, Tensor]]:
        yield "a", torch.zeros(1000)
        os._exit(3)

    open_packed("f", "nf4", "layout", build)


def test_what_a_killed_writer_left_is_removed(cache: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_while_building)
    process.start()
    process.join(60)
    assert process.exitcode == 3
    assert [path for path in cache.iterdir() if path.name.startswith(".")]
    assert len(open_packed("f", "nf4", "another layout", _Builder())) == 3
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]


def _die(_: Path) -> str:
    os._exit(3)


def _die_while_naming() -> None:
    packed_cache.content_digest = _die
    open_packed("f", "nf4", "layout", _Builder())


def test_what_a_writer_left_that_was_killed_at_the_end_is_removed(cache: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_while_naming)
    process.start()
    process.join(60)
    assert process.exitcode == 3
    assert list(cache.glob("*.unnamed"))
    open_packed("f", "nf4", "layout", _Builder())
    assert not list(cache.glob("*.unnamed"))


def test_waiting_for_another_process_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(file_lock, "PATIENCE_S", 0.1)
    entered, leave = threading.Event(), threading.Event()

    def slowly() -> Iterator[tuple[str, Tensor]]:
        entered.set()
        assert leave.wait(60)
        yield from _Builder()()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(open_packed, "f", "nf4", "layout", slowly)
        assert entered.wait(60)
        second = pool.submit(open_packed, "f", "nf4", "layout", _Builder())
        deadline = time.monotonic() + 30
        while "waiting for another process that holds" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        leave.set()
        assert torch.equal(first.result(60)["a"], second.result(60)["a"])


def _open_and_count(calls: "multiprocessing.Queue[int]") -> None:
    build = _Builder()
    open_packed("shared", "nf4", "layout", build)
    calls.put(build.calls)


def test_of_two_processes_one_builds() -> None:
    context = multiprocessing.get_context("spawn")
    calls: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=_open_and_count, args=(calls,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sum(calls.get(timeout=5) for _ in processes) == 1
