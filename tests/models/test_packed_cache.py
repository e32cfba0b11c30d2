"""The packed cache: written once, whole or not at all, made again when damaged."""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.packed_cache import open_packed


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


def test_another_layout_takes_the_place_of_the_last_one(cache: Path) -> None:
    mapped = open_packed("f", "nf4", "layout-1", _Builder(1.0))
    open_packed("f", "int8", "layout-1", _Builder(5.0))
    assert float(open_packed("f", "nf4", "layout-2", _Builder(2.0))["a"][0, 0]) == 2.0
    assert len(list(cache.glob("*.safetensors"))) == 2, "one for each purpose"
    assert float(mapped["a"][0, 0]) == 1.0, "who has it mapped keeps it"
    assert float(open_packed("f", "nf4", "layout-1", _Builder(3.0))["a"][0, 0]) == 3.0


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
    monkeypatch.setattr("models.packed_cache._FORMAT_VERSION", 99)
    assert float(open_packed("f", "nf4", "layout", _Builder(2.0))["a"][0, 0]) == 2.0


def test_whole_files_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    open_packed("f", "nf4", "layout", _Builder())
    monkeypatch.setattr("models.content_digest._digest", refuse_to_read)
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
