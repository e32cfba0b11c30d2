"""`qwen3-tts config`: print the shipped deployment file."""

import argparse
from collections.abc import Sequence

from deployments.launch import SHIPPED_FILE

ABOUT = """Print the shipped deployment file. `qwen3-tts config > serve_config.yaml` makes one to change, which
`qwen3-tts serve` takes when it lies in the working directory."""


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    argparse.ArgumentParser(prog="qwen3-tts config", description=ABOUT).parse_args(arguments)
    print(SHIPPED_FILE.read_text(encoding="utf-8"), end="")
    return 0
