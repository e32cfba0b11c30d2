"""API keys: made, kept and compared.

A key is 256 random bits, so its plain SHA-256 is as safe to keep as any slow hash would be: nobody can try all keys,
however fast each try is. (Slow, salted hashes protect passwords, of which there are few; here one would only make every
request dear.) What is kept is digests alone, one a line with the name of the key's holder:

    sha256:5e88... laptop

`scripts/key add laptop` makes a key, prints it this once and writes its line. A running server reads the file again
when it changes; what it cannot read, such as a file that is half written, leaves the keys as they were.
"""

import argparse
import hmac
import logging
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deployments.config import KEY_DIGEST, AppConfig, default_keys_path, key_digest

logger = logging.getLogger(__name__)

PREFIX = "qtts_"
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")


class KeyFileError(ValueError):
    """A keys file that cannot be understood, or a name that will not do."""


def make_key() -> str:
    """A new key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def read_keys(path: Path) -> dict[str, str]:
    """Digests by name. Raises KeyFileError, and OSError where there is no file."""
    keys: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        digest, _, name = line.partition(" ")
        if not re.fullmatch(KEY_DIGEST, digest) or not _NAME.fullmatch(name) or name in keys:
            raise KeyFileError(f"line {number} of {path} is not 'sha256:DIGEST NAME' with a name of its own")
        keys[name] = digest
    return keys


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
        self._fixed = [digest.encode() for digest in config.api_keys]
        self._path = config.keys_path
        self._seen: tuple[int, ...] | None = None
        self._of_file: list[bytes] | None = None  # None: there has never been a file

    @property
    def required(self) -> bool:
        """Whether a key is needed. A file that has been there counts, even when it holds no key."""
        self._refresh()
        return bool(self._fixed) or self._of_file is not None

    def matches(self, key: str) -> bool:
        """Compares with every key, in a time that does not depend on the answer."""
        self._refresh()
        return _matches(key_digest(key).encode(), [*self._fixed, *(self._of_file or [])])

    def _refresh(self) -> None:
        """Read the file if it is not the one that was read last; to ask costs one system call."""
        try:
            status = self._path.stat()
            signature = (status.st_ino, status.st_mtime_ns, status.st_size)
            if signature == self._seen:
                return
            self._seen = signature
            self._of_file = [digest.encode() for digest in read_keys(self._path).values()]
        except FileNotFoundError:
            self._seen = None
        except (OSError, KeyFileError) as error:
            self._of_file = self._of_file or []
            logger.warning("the keys stay as they were: %s", error)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/key", description="Make, list and remove API keys.")
    parser.add_argument("--file", type=Path, default=default_keys_path(), help="where digests are kept (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("add", "remove"):
        commands.add_parser(command).add_argument("name", help="who holds the key")
    commands.add_parser("list")
    given = parser.parse_args(arguments)
    try:
        match given.command:
            case "add":
                print(add(given.file, given.name))
                print("This is the only time the key is shown; a running server knows it already.", file=sys.stderr)
            case "remove":
                remove(given.file, given.name)
            case _:
                print("\n".join(read_keys(given.file)))
    except (KeyFileError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
