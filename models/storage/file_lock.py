"""Locks on files, which the system releases when the process ends, however it ends."""

import fcntl
import logging
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)

PATIENCE_S = 5.0  # after which waiting for another process is worth a line in the log
_PAUSE_S = 0.05


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, path: Path) -> None:
    started = time.monotonic()
    while not _try(descriptor):
        if time.monotonic() - started > PATIENCE_S:
            _log.warning("waiting for another process that holds %s; `fuser` tells which one", path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _log.info("got %s after %.0f s", path, time.monotonic() - started)
            return
        time.sleep(_PAUSE_S)


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Hold a lock file, made where it is missing; waits for whoever holds it now, and says so when that takes long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait(descriptor, path)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone_if_free(path: Path) -> Generator[bool]:
    """Hold a file that is there if nobody else does; yields whether that is so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield _try(descriptor)
    finally:
        os.close(descriptor)


def share(descriptor: int) -> None:
    """Keep an open file from those who would have it alone, until it and everything that maps it is closed."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)
