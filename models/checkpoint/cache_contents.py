"""What lies in the cache, and what of it may go: packed weights that were used longest ago, when there are too many,
and embedded checkpoints of other versions of the package. What a process has mapped stays."""

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from models.checkpoint.embedded import current_names
from models.storage import alone_if_free, cache_directory, lock_of

_log = logging.getLogger(__name__)

KEPT_S = 7 * 86_400.0  # how long another version may want its embedded checkpoint back
LEFT_AFTER_S = 3_600.0  # a temporary file this old was left by a writer that was killed


@dataclass(frozen=True, slots=True)
class Entry:
    """A packed file or an embedded checkpoint."""

    path: Path
    bytes: int
    used_at: float  # seconds since the epoch
    stale: bool  # nothing will ask for it: it may go, however small the cache is

    @property
    def in_use(self) -> bool:
        """Whether a process has it mapped now."""
        files = self.path.glob("**/*.safetensors") if self.path.is_dir() else [self.path]
        return not all(_is_free(file) for file in files)

    def remove(self) -> bool:
        """Delete it unless somebody uses it or is about to; whether it is gone."""
        try:
            with ExitStack() as stack:
                lock = lock_of(self.path)
                if lock is not None and lock.exists() and not stack.enter_context(alone_if_free(lock)):
                    return False
                if self.in_use:
                    return False
                shutil.rmtree(self.path) if self.path.is_dir() else self.path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s cannot be removed: %s", self.path, error)
            return False
        _log.info("removed %s, %.0f MiB", self.path, self.bytes / 2**20)
        return True


def _is_free(path: Path) -> bool:
    try:
        with alone_if_free(path) as free:
            return free
    except FileNotFoundError:
        return True


def packed_entries() -> list[Entry]:
    """Packed weights, the one that was used longest ago first; what killed writers left is stale."""
    return sorted(_entries("packed", _packed), key=lambda entry: entry.used_at)


def embedded_entries() -> list[Entry]:
    """Embedded checkpoints; those of other versions are stale when nobody has wanted them for a week."""
    return _entries("embedded", _embedded)


def _packed(path: Path) -> Entry:
    status = path.stat()
    whole = path.suffix == ".safetensors" and not path.name.startswith(".")
    used_at = status.st_atime if whole else status.st_mtime
    return Entry(path, status.st_size, used_at, not whole and time.time() - used_at > LEFT_AFTER_S)


def _embedded(path: Path) -> Entry:
    used_at = path.stat().st_mtime
    kept = LEFT_AFTER_S if path.name.startswith(".") else KEPT_S
    stale = time.time() - used_at > kept and path.name not in current_names()
    return Entry(path, sum(file.stat().st_size for file in path.rglob("*")), used_at, stale)


def _entries(part: str, look: Callable[[Path], Entry]) -> list[Entry]:
    directory = cache_directory() / part
    entries: list[Entry] = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        with suppress(FileNotFoundError):  # removed by another process just now
            if path.suffix != ".lock":
                entries.append(look(path))
    return entries


def trim(limit_bytes: int, spared_s: float = 0.0) -> list[Entry]:
    """Remove what is stale, and of the packed weights what was used longest ago until the rest is no larger than this;
    returns what is gone. What is in use stays, and counts; so does what was used within the last `spared_s` seconds."""
    packed = packed_entries()
    gone = [entry for entry in (*packed, *embedded_entries()) if entry.stale and entry.remove()]
    left = [entry for entry in packed if entry not in gone]
    total = sum(entry.bytes for entry in left)
    for entry in left:
        if total > limit_bytes and time.time() - entry.used_at >= spared_s and entry.remove():
            gone.append(entry)
            total -= entry.bytes
    if total > limit_bytes:
        _log.warning("packed weights of late take %d MiB, %d are allowed", total // 2**20, limit_bytes // 2**20)
    return gone
