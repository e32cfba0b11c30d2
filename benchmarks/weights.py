"""Full-size random checkpoints to measure on: cost does not depend on the values."""

import subprocess
import sys
from pathlib import Path

from models.storage import cache_directory

KINDS = {"0.6b": "base", "1.7b": "voice_design"}


def benchmark_checkpoint(model: str) -> Path:
    """A directory for "0.6b", "1.7b" or a path, written once in a process of its own: its memory is not ours."""
    if model not in KINDS:
        return Path(model)
    directory = cache_directory() / "benchmarks" / f"{model}-endless"
    if not (directory / "complete").exists():
        print(f"writing random weights to {directory} ...", flush=True)
        size = ["--size", model, "--kind", KINDS[model], "--out", str(directory), "--endless"]
        subprocess.run([sys.executable, "-m", "models.synthetic", *size], check=True)
        (directory / "complete").touch()
    return directory
