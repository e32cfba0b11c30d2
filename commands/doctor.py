"""`qwen3-tts doctor`: what this machine can serve, and what its cache holds."""

import argparse
from collections.abc import Sequence

from benchmarks import cache, doctor
from deployments.config import PACKED_CACHE_MB


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.prune is not None:
        print(cache.prune(options.prune))
    if options.cache or options.prune is not None:
        print(cache.listing())
    else:
        print(doctor.examine())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qwen3-tts doctor", description=doctor.__doc__)
    parser.add_argument("--cache", action="store_true", help="list packed and embedded weights on this disk instead")
    parser.add_argument(
        "--prune",
        type=int,
        nargs="?",
        const=PACKED_CACHE_MB,
        metavar="MIB",
        help="remove those that nobody uses, the oldest first, until no more than this is left "
        f"(without a number {PACKED_CACHE_MB}, as servers do by default); what is in use stays",
    )
    return parser
