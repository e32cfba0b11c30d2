"""`qwen3-tts serve [CONFIG]`: start the server that a deployment file describes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deployments.launch import SHIPPED_FILE, serve_file

ABOUT = """Serve speech until Ctrl-C or SIGTERM, which finish what runs; SIGUSR1 reads the deployment file again.
Without CONFIG it is serve_config.yaml in the working directory, and where there is none the shipped one, which
`qwen3-tts config` prints."""


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="qwen3-tts serve", description=ABOUT)
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="the deployment file")
    return serve_file(deployment_file(parser.parse_args(arguments).config))


def deployment_file(named: Path | None) -> Path:
    """The one that was named, or the one that lies here, or the shipped one."""
    if named is not None:
        return named
    here = Path(SHIPPED_FILE.name)
    return here if here.exists() else SHIPPED_FILE
