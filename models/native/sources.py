"""What the native library is compiled from. setup.py runs this file alone: it imports nothing of the package."""

import hashlib
from pathlib import Path

SOURCES = Path(__file__).parent / "src"


def sources_digest(directory: Path = SOURCES) -> str | None:
    """Another one whenever a source is another; None where they do not lie there."""
    digest = hashlib.sha256()
    paths = [path for path in sorted(directory.rglob("*")) if path.suffix in (".cpp", ".h", ".inc")]
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(directory)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:32] if paths else None
