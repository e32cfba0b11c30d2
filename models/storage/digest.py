"""Digests of large files, remembered: a file that has kept its size and time is not read again."""

import hashlib
import logging
from pathlib import Path

from models.errors import CheckpointError
from models.storage.atomic_file import write_atomically
from models.storage.cache_folder import cache_directory

_log = logging.getLogger(__name__)


def _note(path: Path) -> Path:
    """Where the digest of a file in its present state is remembered. Renaming a file does not change its state."""
    status = path.stat()
    state = f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}"
    return cache_directory() / "digests" / hashlib.sha256(state.encode()).hexdigest()[:32]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.sha256).hexdigest()


def _recall(note: Path) -> str | None:
    try:
        digest = note.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return digest if len(digest) == hashlib.sha256().digest_size * 2 else None


def _remember(note: Path, digest: str) -> None:
    try:
        write_atomically(note, lambda temporary: temporary.write_text(digest, encoding="ascii"))
    except OSError as error:
        _log.warning("a digest cannot be remembered, the next start will be slower: %s", error)


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal. Raises CheckpointError when it cannot be read."""
    try:
        note = _note(path)
        digest = _recall(note)
        if digest is None:
            digest = _digest(path)
            if _note(path) == note:  # else it was changed meanwhile
                _remember(note, digest)
        return digest
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
