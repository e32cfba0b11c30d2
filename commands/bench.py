"""`qwen3-tts bench`: measure the whole table on this machine."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="qwen3-tts bench", description=report.__doc__)
    parser.add_argument("--frames", type=int, default=50, help="of speech in each measurement (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("PERFORMANCE.md"), help="what is written (%(default)s)")
    options = parser.parse_args(arguments)
    report.write(options.output, options.frames)
    return 0
