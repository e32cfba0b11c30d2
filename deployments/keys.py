"""API keys: made, kept and compared.

A key is 256 random bits, so its plain SHA-256 is as safe to keep as any slow hash would be: nobody can try all keys,
however fast each try is. (Slow, salted hashes protect passwords, of which there are few; here one would only make every
request dear.) What is kept is digests alone, one a line with the name of the key's holder:

    sha256:5e88... laptop

`qwen3-tts key add laptop` makes a key, prints it this once and writes its line. A running server reads the file again
when it changes. A key counts as long as its line stands in the file: a line that cannot be understood lets nobody in
and costs the others nothing, and a file that is gone lets nobody in either. Both are told in the log and the status.
"""

import hmac
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from deployments.config import KEY_DIGEST, AppConfig, key_digest

logger = logging.getLogger(__name__)

PREFIX = "qtts_"
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")


class KeyFileError(ValueError):
    """A keys file that cannot be understood, or a name that will not do."""


def make_key() -> str:
    """A new key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def parse_keys(text: str) -> tuple[dict[str, str], list[int]]:
    """Digests by name, and the numbers of the lines that are not 'sha256:DIGEST NAME' with a name of its own."""
    keys: dict[str, str] = {}
    faults: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        digest, _, name = line.partition(" ")
        if re.fullmatch(KEY_DIGEST, digest) and _NAME.fullmatch(name) and name not in keys:
            keys[name] = digest
        else:
            faults.append(number)
    return keys, faults


def read_keys(path: Path) -> dict[str, str]:
    """Digests by name. Raises KeyFileError, and OSError where there is no file."""
    keys, faults = parse_keys(_text(path))
    if faults:
        raise KeyFileError(f"line {faults[0]} of {path} is not 'sha256:DIGEST NAME' with a name of its own")
    return keys


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace")


def write_keys(path: Path, keys: Mapping[str, str]) -> None:
    """Replace the file in one step; only its owner may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.writelines(f"{digest} {name}\n" for name, digest in keys.items())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class KeyRing:
    """The keys that open the server now: those of the configuration, and those of the file, which may change."""

    def __init__(self, config: AppConfig) -> None:
        self._of_file: list[bytes] | None = None  # None: there has never been a file
        self.adopt(config)

    def adopt(self, config: AppConfig) -> None:
        """The keys of a configuration in place of those before. That there has been a file is not forgotten."""
        self._fixed = [digest.encode() for digest in config.api_keys]
        self._path = config.keys_path
        self._seen: tuple[int, ...] | None = None  # the file that was read last
        self._of_file = None if self._of_file is None else []
        self._trouble: str | None = None

    @property
    def required(self) -> bool:
        """Whether a key is needed. A file that has been there counts, even when it holds no key."""
        self._refresh()
        return bool(self._fixed) or self._of_file is not None

    @property
    def trouble(self) -> str | None:
        """What is wrong with the file."""
        self._refresh()
        return self._trouble

    def matches(self, key: bytes) -> bool:
        """Compares with every key, in a time that does not depend on the answer."""
        self._refresh()
        return _matches(key_digest(key).encode(), [*self._fixed, *(self._of_file or [])])

    def _refresh(self) -> None:
        """Read the file if it is not the one that was read last; to ask costs one system call."""
        try:
            status = self._path.stat()
            signature = (status.st_ino, status.st_mtime_ns, status.st_size)
            if signature != self._seen:
                self._read()
                self._seen = signature
        except FileNotFoundError:
            self._seen = None
            if self._of_file is not None:
                self._of_file = []
                self._tell(f"{self._path} is gone, and its keys open nothing")
        except OSError as error:  # of the moment, perhaps: it is read anew for the next request
            self._of_file = self._of_file or []
            self._tell(f"{self._path} cannot be read, its keys stay as they were: {error}")

    def _read(self) -> None:
        keys, faults = parse_keys(_text(self._path))
        self._of_file = [digest.encode() for digest in keys.values()]
        lines = ", ".join(str(number) for number in faults)
        self._tell(f"{self._path} holds no key in line {lines}" if faults else None)

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._trouble:
            logger.warning("%s", trouble)
        self._trouble = trouble


def _matches(digest: bytes, known: Iterable[bytes]) -> bool:
    return sum(hmac.compare_digest(digest, each) for each in known) > 0


def add(path: Path, name: str) -> str:
    """Make a key for `name` and keep its digest; returns the key. Raises KeyFileError."""
    if not _NAME.fullmatch(name):
        raise KeyFileError("a name has 1 to 64 letters, digits and ._@-")
    keys = read_keys(path) if path.exists() else {}
    if name in keys:
        raise KeyFileError(f"there is a key called {name}: remove it first, or choose another name")
    key = make_key()
    write_keys(path, {**keys, name: key_digest(key)})
    return key


def remove(path: Path, name: str) -> None:
    """Forget a key. Raises KeyFileError, OSError."""
    keys = read_keys(path)
    if name not in keys:
        raise KeyFileError(f"there is no key called {name}")
    write_keys(path, {other: digest for other, digest in keys.items() if other != name})
