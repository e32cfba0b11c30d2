"""Safetensors files, mapped read-only into memory: a tensor is a view of the file and costs nothing until it is read.

Read-only shared maps do not count toward a process's data limit (RLIMIT_DATA), and their pages are shared between
replicas. The library's own mapping is private and writable, and counts; hence this reader.
"""

import json
import math
import mmap
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from models.errors import CheckpointError
from models.storage.file_lock import share
from models.storage.safetensors_writer import DTYPE_NAMES, PADDING_PREFIX

TensorSource = Callable[[str], torch.Tensor]  # of a checkpoint, by its name there

_DTYPES = {name: dtype for dtype, name in DTYPE_NAMES.items()}
_MAX_HEADER = 100_000_000  # bytes, the format's own limit


@dataclass(frozen=True, slots=True)
class _Entry:
    mapped: mmap.mmap
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file


_State = tuple[int, ...]


def _state(status: os.stat_result) -> _State:
    """Which file it is, and what writing to it changes."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _differs(path: Path, state: _State) -> bool:
    try:
        now = _state(path.stat())
    except OSError:  # deleted, or its disk is away
        return False
    return now[:2] == state[:2] and now != state


def _map(path: Path, held: bool) -> tuple[mmap.mmap, _State]:
    try:
        with path.open("rb") as file:
            if held:
                share(file.fileno())  # the map has a descriptor of the same open file, and so the lock
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), _state(os.fstat(file.fileno()))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def _header(path: Path, mapped: mmap.mmap) -> tuple[dict[str, Any], int]:
    """The JSON header and where the data starts."""
    length = int.from_bytes(mapped[:8], "little")
    if len(mapped) < 8 or length > min(_MAX_HEADER, len(mapped) - 8):
        raise CheckpointError(f"{path} is truncated or not a safetensors file")
    try:
        header: object = json.loads(mapped[8 : 8 + length])
    except ValueError:
        raise CheckpointError(f"{path} is damaged: its header is not JSON") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is damaged: its header is not a JSON object")
    return cast(dict[str, Any], header), 8 + length


def _entry(mapped: mmap.mmap, fields: Any, data: int) -> _Entry:
    """Raises ValueError, TypeError or KeyError for an entry that makes no sense."""
    dtype = _DTYPES[fields["dtype"]]
    shape = tuple(int(size) for size in fields["shape"])
    start, end = (int(offset) for offset in fields["data_offsets"])
    if min(shape, default=0) < 0 or start < 0 or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError("shape and size differ")
    if data + end > len(mapped):
        raise ValueError("the file is truncated")
    return _Entry(mapped, dtype, shape, data + start)


def _entries(path: Path, mapped: mmap.mmap) -> dict[str, _Entry]:
    header, data = _header(path, mapped)
    entries: dict[str, _Entry] = {}
    for name, fields in header.items():
        if name == "__metadata__" or name.startswith(PADDING_PREFIX):
            continue
        try:
            entries[name] = _entry(mapped, fields, data)
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path}: tensor {name} is damaged: {error}") from None
    return entries


class TensorFile:
    """The tensors of one safetensors file, or of several that belong together, by name."""

    def __init__(self, paths: Sequence[Path], held: bool = False) -> None:
        """`held`: the files count as in use for as long as a tensor of them lives, see models.storage.file_lock. Raises
        CheckpointError for files that are missing, truncated or damaged."""
        self.paths = tuple(paths)
        self._entries: dict[str, _Entry] = {}
        self._states: dict[Path, _State] = {}  # when they were mapped
        for path in paths:
            mapped, self._states[path] = _map(path, held)
            self._entries |= _entries(path, mapped)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def _find(self, name: str) -> _Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise CheckpointError(f"{self.paths[0]}: tensor {name} is missing") from None

    def shape(self, name: str) -> tuple[int, ...]:
        return self._find(name).shape

    def dtype(self, name: str) -> torch.dtype:
        return self._find(name).dtype

    def overwritten(self) -> Path | None:
        """A file that was written to or cut short since it was mapped: its tensors are no longer those that were read.
        What takes its name is another file; the mapped one stays as it is, also when it is deleted."""
        return next((path for path, state in self._states.items() if _differs(path, state)), None)

    def release(self) -> None:
        """Let go of all pages read so far: they no longer count as this process's memory, and come back when read."""
        for mapped in {id(entry.mapped): entry.mapped for entry in self._entries.values()}.values():
            mapped.madvise(mmap.MADV_DONTNEED)

    def tensor(self, name: str) -> torch.Tensor:
        """A view of the mapped file; reading loads pages, writing is not possible. Keeps the map alive."""
        entry = self._find(name)
        count = math.prod(entry.shape)
        if count == 0:
            return torch.empty(entry.shape, dtype=entry.dtype)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            flat = torch.frombuffer(entry.mapped, dtype=entry.dtype, count=count, offset=entry.start)
        return flat.view(entry.shape)


def open_tensors(directory: Path, held: bool = False) -> TensorFile:
    """`model.safetensors` in `directory`, or the shards that `model.safetensors.index.json` lists."""
    index = directory / "model.safetensors.index.json"
    if not index.exists():
        return TensorFile([directory / "model.safetensors"], held)
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} is damaged: {error!r}") from None
    if not shards or any(not isinstance(shard, str) or Path(shard).name != shard for shard in shards):
        raise CheckpointError(f"{index} is damaged: shards must be files beside it")
    return TensorFile([directory / shard for shard in sorted(shards)], held)
