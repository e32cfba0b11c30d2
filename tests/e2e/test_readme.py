"""The documents' commands and snippets, run as they stand."""

import re
from pathlib import Path

import pytest

from tests.deployments.helpers import make_clip
from tests.e2e.server import Server
from tests.e2e.snippets import blocks, run_python, run_shell
from tests.e2e.speech import samples_of

README = "README.md"
VOICES = "docs/VOICES.md"


def test_curl_commands(server: Server, tmp_path: Path) -> None:
    commands = [block for block in blocks(README, "bash") if "curl" in block]
    assert len(commands) == 2
    (tmp_path / "anna.wav").write_bytes(make_clip())
    for command in commands:
        run_shell(command, server, tmp_path)
    for name in ("cloned.wav", "designed.wav"):
        samples_of((tmp_path / name).read_bytes())


@pytest.mark.parametrize("program", blocks(README, "python"), ids=lambda program: program.split("\n")[0])
def test_python_snippets(program: str, server: Server, tmp_path: Path) -> None:
    run_python(program, server, tmp_path)
    if "stream_to_file" in program:
        samples_of((tmp_path / "hello.wav").read_bytes())


def test_a_voice_is_cloned_and_listed_as_the_document_says(server: Server, tmp_path: Path) -> None:
    [clone] = blocks(VOICES, "sh")
    [program] = blocks(VOICES, "python")
    (tmp_path / "clip.wav").write_bytes(make_clip())
    run_shell(clone, server, tmp_path)
    assert "anna" in [voice["id"] for voice in server.get("/api/v1/tts/voices").json()["voices"]]
    assert re.search(
        r"^old-sailor-\w{12} designed None An old man", run_python(program, server, tmp_path), re.MULTILINE
    )
