"""Commands and snippets that the documents and the server name, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.server import ROOT, Server
from tests.waiting import TIMEOUT

DOCUMENTED = "127.0.0.1:8000"  # where the documents say that the server is


def blocks(document: str, language: str) -> list[str]:
    """The code in a document, by the language it is said to be in."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run_shell(commands: str, server: Server, directory: Path) -> str:
    """What they print in a shell beside the server, knowing no more of it than what they say; none of them may fail,
    nor be refused by the server."""
    settings = f'silent\nshow-error\nfail-with-body\nconnect-to = "{DOCUMENTED}:127.0.0.1:{server.port}"\n'
    (directory / ".curlrc").write_text(settings)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=directory,
        env={**inherited, "CURL_HOME": str(directory), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_python(program: str, server: Server, directory: Path) -> str:
    """What it prints when it is run after the line that the server says to type before."""
    (directory / "program.py").write_text(program.replace(DOCUMENTED, f"127.0.0.1:{server.port}"))
    return run_shell(f"{server.exports}\n{sys.executable} program.py", server, directory)
