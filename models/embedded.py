"""The embedded checkpoints: tiny random ones, made on first use, so that everything starts without a download."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import cast, get_args

from models.architecture import Kind
from models.cache_directory import cache_directory
from models.errors import CheckpointError

_SEED = 0


def _version() -> str:
    """Another one whenever the writer of synthetic checkpoints is another."""
    sources = sorted((Path(__file__).parent / "synthetic").glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def _make(directory: Path, kind: Kind) -> None:
    """Write the checkpoint beside its place and give it its name; whoever comes second finds it there."""
    from models.synthetic.writing import write_checkpoint  # needed on the first start alone

    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        write_checkpoint(temporary, "tiny", kind, _SEED)
        temporary.chmod(0o755)
        os.rename(temporary, directory)
    except OSError:
        if not directory.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def embedded_checkpoint(kind: str) -> Path:
    """The directory of the tiny checkpoint of a kind. Raises CheckpointError."""
    if kind not in get_args(Kind):
        raise CheckpointError(f"embedded:{kind} is unknown: there is {', '.join(get_args(Kind))}")
    directory = cache_directory() / "embedded" / f"{kind}-{_version()}"
    try:
        if not directory.exists():
            _make(directory, cast(Kind, kind))
    except OSError as error:
        raise CheckpointError(f"embedded:{kind} cannot be made ({error}); QWEN3_TTS_CACHE names the place") from error
    return directory
