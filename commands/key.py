"""`qwen3-tts key add NAME | remove NAME | list`: API keys."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments import keys
from deployments.config import default_keys_path


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        match given.command:
            case "add":
                print(keys.add(given.file, given.name))
                print("This is the only time the key is shown; a running server knows it already.", file=sys.stderr)
            case "remove":
                keys.remove(given.file, given.name)
            case _:
                print("\n".join(keys.read_keys(given.file)))
    except (keys.KeyFileError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qwen3-tts key", description="Make, list and remove API keys.")
    parser.add_argument("--file", type=Path, default=default_keys_path(), help="where digests are kept (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="add | remove | list")
    commands.add_parser("add", help="make a key and print it, this once").add_argument("name", help="who holds the key")
    commands.add_parser("remove", help="forget a key").add_argument("name", help="who held the key")
    commands.add_parser("list", help="names of all keys")
    return parser
