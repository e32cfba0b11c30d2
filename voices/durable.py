"""Writing so that a crash, at any point, leaves the old or the new and never half of one.

Everything is written beside its destination under a staging name, flushed to the disk and then renamed, which the file
system does in one piece. What a crash leaves under a staging name is nobody's: `sweep` removes it later. Writers hold a
lock on a file in the directory, which ends with their process: whether one still lives is no question of time. It is a
file because NFS keeps a lock on a directory to the host that took it, and one on a file, of `flock` too, on the server.

Where a directory was made or removed and the flush after the rename fails, the rename is taken back: what is reported
as not done has not been done, and can be tried again.
"""

import errno
import fcntl
import logging
import os
import shutil
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

STAGE_PREFIX = ".stage-"
TRASH_PREFIX = ".trash-"
LOCK_FILE = ".lock"
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)

_log = logging.getLogger(__name__)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(directory: Path, kind: int) -> Generator[None]:
    """Hold the lock of a directory, a shared one or the only one. Raises BlockingIOError where LOCK_NB asks for it."""
    # Open for writing: over NFS a lock that excludes others wants that. With the mode that the umask leaves.
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _write_file(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def publish_directory(files: Mapping[str, bytes], target: Path) -> None:
    """Make the directory `target` with `files` (relative path -> content), whole or not at all.

    Raises FileExistsError when `target` is there already, however many processes try at once; OSError when the disk
    refuses. Either way nothing is left behind.
    """
    stage = target.parent / f"{STAGE_PREFIX}{uuid.uuid4().hex}"
    try:
        with _locked(target.parent, fcntl.LOCK_SH):
            _write_tree(stage, files)
            os.rename(stage, target)
    except OSError as error:
        shutil.rmtree(stage, ignore_errors=True)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(errno.EEXIST, "already exists", str(target)) from error
        raise
    try:
        sync_directory(target.parent)
    except OSError:
        shutil.rmtree(_take_away(target), ignore_errors=True)
        raise


def _take_away(target: Path) -> Path:
    """Rename a directory to what is read by nobody; its new name."""
    trash = target.parent / f"{TRASH_PREFIX}{uuid.uuid4().hex}"
    os.rename(target, trash)
    return trash


def _write_tree(root: Path, files: Mapping[str, bytes]) -> None:
    root.mkdir()
    directories = {root}
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        directories.add(path.parent)
        _write_file(path, data)
    for directory in directories:
        sync_directory(directory)


def replace_file(path: Path, data: bytes, staging: Path) -> None:
    """Write `path`, whole or not at all; `staging` is a directory on the same file system. Raises OSError."""
    stage = staging / f"{STAGE_PREFIX}{uuid.uuid4().hex}"
    try:
        with _locked(staging, fcntl.LOCK_SH):
            _write_file(stage, data)
            os.replace(stage, path)
    except OSError:
        stage.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_directory(target: Path) -> None:
    """Remove a directory: it is there whole or not at all. Raises FileNotFoundError when it is not there."""
    trash = _take_away(target)
    try:
        sync_directory(target.parent)
    except OSError:
        os.rename(trash, target)
        raise
    shutil.rmtree(trash, ignore_errors=True)


def sweep(directory: Path) -> None:
    """Remove what crashes left behind in `directory`, unless somebody is writing there just now, or nobody can."""
    try:
        with _locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB):
            _discard_all(directory, STAGE_PREFIX)
    except BlockingIOError:
        pass  # the next one sweeps
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        return
    _discard_all(directory, TRASH_PREFIX)


def _discard_all(directory: Path, prefix: str) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                _discard(Path(entry.path))


def _discard(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return  # another process swept it
    except OSError as error:
        _log.warning("could not remove the left-over %s: %s", path, error)
