"""Packed weights on disk: written once per checkpoint and layout, memory-mapped from then on.

A file's name holds a digest of what it was made from and a digest of its content, so that whatever was truncated,
damaged or made by another version is noticed and made again. Processes that start at once wait for one writer.
Other layouts, and other weights, stay until models.checkpoint.cache_contents finds too many of them.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from torch import Tensor

from models.errors import CheckpointError
from models.storage.atomic_file import write_atomically
from models.storage.cache_folder import cache_directory
from models.storage.digest import content_digest
from models.storage.file_lock import alone
from models.storage.safetensors_writer import SafetensorsWriter
from models.storage.tensor_file import TensorFile

_log = logging.getLogger(__name__)

Builder = Callable[[], Iterator[tuple[str, Tensor]]]

_FORMAT_VERSION = 1  # of these files; layouts have versions of their own in their names
_ALIGNMENT = 64  # bytes: a cache line, and the widest vector
_SUBJECT = re.compile(r"\.?([0-9a-f]{16})-")
_HEADER_ROOM = 1 << 20  # bytes; a packed model needs a tenth of it


class PackedTensors(Mapping[str, Tensor]):
    """Tensors by name, views of a mapped file that counts as in use for as long as one of them lives."""

    def __init__(self, path: Path) -> None:
        file = TensorFile([path], held=True)
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # when it was last wanted
        self._tensors = {name: file.tensor(name) for name in file.names}

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _find(directory: Path, key: str) -> PackedTensors | None:
    """The packed tensors of a key, if they are there and whole; what is not whole is removed."""
    for path in sorted(directory.glob(f"{key}-*.safetensors")):
        try:
            if content_digest(path) == path.stem.removeprefix(f"{key}-"):
                return PackedTensors(path)
            _log.warning("%s is damaged and will be made again", path)
        except CheckpointError as error:
            _log.warning("%s; it will be made again", error)
        path.unlink(missing_ok=True)
    return None


def _remove_leftovers(directory: Path, subject: str) -> None:
    """What writers that were killed had begun: none of them holds our lock any more."""
    for path in (*directory.glob(f".{subject}-*"), *directory.glob(f"{subject}-*.unnamed")):
        path.unlink(missing_ok=True)


def _build(directory: Path, key: str, build: Builder) -> PackedTensors:
    def write(path: Path) -> None:
        with SafetensorsWriter(path, _HEADER_ROOM, _ALIGNMENT) as file:
            for name, tensor in build():
                file.add(name, tensor)

    unnamed = directory / f"{key}.unnamed"
    write_atomically(unnamed, write)
    path = directory / f"{key}-{content_digest(unnamed)}.safetensors"
    os.replace(unnamed, path)
    return PackedTensors(path)


def lock_of(path: Path) -> Path | None:
    """The lock that whoever writes or opens a packed file holds; None for a file that is no such."""
    match = _SUBJECT.match(path.name)
    return path.parent / f"{match[1]}.lock" if match else None


def _short_digest(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def open_packed(fingerprint: str, purpose: str, layout: str, build: Builder) -> PackedTensors:
    """The tensors that `build` makes, memory-mapped; it runs only where they are not there yet.

    `fingerprint` says what they are made from, `purpose` what for, and `layout` how, with a version in it. Tensors are
    written one at a time, each at a multiple of 64 bytes. Raises
    OSError when they cannot be written, and what `build` raises.
    """
    subject = _short_digest(fingerprint, purpose)
    key = f"{subject}-{_short_digest(_FORMAT_VERSION, layout)}"
    directory = cache_directory() / "packed"
    with alone(directory / f"{subject}.lock"):
        found = _find(directory, key)
        if found is None:
            _log.info("packing weights for %s as %s into %s", purpose, layout, directory)
            _remove_leftovers(directory, subject)
            found = _build(directory, key, build)
        return found
