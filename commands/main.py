"""`qwen3-tts COMMAND ...`: the command's file is imported and given the rest of the line."""

import sys
from collections.abc import Sequence
from importlib import import_module, metadata

COMMANDS = {
    "serve": "serve speech until Ctrl-C",
    "config": "print the shipped deployment file, to make your own of it",
    "doctor": "tell what this machine can serve; list and remove packed weights",
    "key": "make, list and remove API keys",
    "bench": "measure this machine and write the table",
}
HELP = "\n".join([
    "usage: qwen3-tts COMMAND [ARGUMENTS]",
    "",
    "Qwen3-TTS served on ordinary CPUs. Start with `qwen3-tts serve`; it says what to type next.",
    "",
    *(f"  {name:8}{says}" for name, says in COMMANDS.items()),
    "",
    "`qwen3-tts COMMAND --help` tells more, `qwen3-tts --version` which release this is.",
])  # fmt: skip
MISUSED, INTERRUPTED = 2, 130  # exit statuses, as shells and argparse have them


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in COMMANDS:
        return _run(name, rest)
    if name in ("-h", "--help"):
        print(HELP)
        return 0
    if name == "--version":
        print(metadata.version("qwen3-tts-cpu"))
        return 0
    wrong = f"there is no command {name!r}, only {', '.join(COMMANDS)}" if name else HELP
    print(wrong, file=sys.stderr)
    return MISUSED


def _run(name: str, arguments: Sequence[str]) -> int:
    """Imported not before: what one command needs, the others do not wait for."""
    try:
        return import_module(f"commands.{name}").main(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
