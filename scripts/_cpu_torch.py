"""Prints the arguments by which pip and uv get the CPU build of torch; nothing where torch is there already.

Exits with 1, and one line that says why, where its index does not answer or has no build for this machine. Index and
version are those of pyproject.toml.
"""

import http.client
import platform
import re
import sys
import tomllib
import urllib.request
from importlib import metadata
from pathlib import Path

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
TIMEOUT_S = 5.0


def main() -> int:
    """The script; returns the exit status."""
    torch = next(each for each in PROJECT["project"]["dependencies"] if each.startswith("torch=="))
    version = torch.removeprefix("torch==")
    [index] = [each["url"] for each in PROJECT["tool"]["uv"]["index"]]
    if sys.platform == "darwin" or _installed() == version:
        return 0
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=TIMEOUT_S) as answer:
            page = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return _not_from(index, str(getattr(error, "reason", error)))
    if not re.search(_file_names(version), page, re.IGNORECASE):
        return _not_from(index, f"no {torch} for this machine")
    print("--index-url", index, torch)
    return 0


def _installed() -> str | None:
    try:
        return metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def _file_names(version: str) -> str:
    """Of wheels for this Python and processor, as a pattern."""
    python = "cp{}{}".format(*sys.version_info)
    return rf"torch-{re.escape(version)}(%2B|\+)cpu-{python}-[^\s<>]*{platform.machine()}[.]whl"


def _not_from(index: str, reason: str) -> int:
    print(f"{index}: {reason}; torch comes from where other packages do, and may be its CUDA build", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
