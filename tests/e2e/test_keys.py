"""Who may ask a server that has a key, and how keys come and go while it runs."""

import subprocess
from pathlib import Path

import httpx
import openai
import pytest

from tests.e2e.server import Server, environment_of
from tests.e2e.snippets import blocks
from tests.e2e.speech import DESIGN, DESIGNED, SPEECH, SPOKEN, SYNTHESIZE, samples_of
from tests.waiting import TIMEOUT

ASKED = [
    ("POST", SYNTHESIZE, SPOKEN),
    ("POST", DESIGN, DESIGNED),
    ("POST", SPEECH, {"model": "tts-1", "input": "Hello.", "voice": "alloy"}),
    ("GET", "/api/v1/status", None),
    ("GET", "/v1/models", None),
    ("GET", "/metrics", None),
    ("DELETE", "/api/v1/tts/voices/narrator_cloned", None),
]
WRONG = ["", "Bearer", "Bearer qtts_wrong", "Bearer {key}x", "Basic {key}", "{key}"]


def status_for(server: Server, authorization: str) -> int:
    return httpx.get(
        f"{server.url}/api/v1/status", headers={"Authorization": authorization}, timeout=TIMEOUT
    ).status_code


@pytest.mark.parametrize("wrong", WRONG)
def test_without_the_key_nothing_is_said_and_nothing_loaded(small: Server, wrong: str) -> None:
    key = small.headers["Authorization"].removeprefix("Bearer ")
    before = [model["state"] for model in small.status()]
    with httpx.Client(
        base_url=small.url, headers={"Authorization": wrong.format(key=key)}, timeout=TIMEOUT
    ) as stranger:
        for method, path, body in ASKED:
            refused = stranger.request(method, path, json=body)
            assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error"), path
            assert refused.headers["x-should-retry"] == "false"
        assert [stranger.get(path).status_code for path in ("/livez", "/readyz", "/health")] == [200, 200, 200]
    assert [model["state"] for model in small.status()] == before


def test_the_key_opens_all_of_it(small: Server) -> None:
    samples_of(small.post(SYNTHESIZE, SPOKEN).content)
    key = small.headers["Authorization"].removeprefix("Bearer ")
    client = openai.OpenAI(base_url=f"{small.url}/v1", api_key=key)
    spoken = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", response_format="wav")
    samples_of(spoken.content)


def test_keys_come_and_go_while_it_runs(small: Server, checkout: Path) -> None:
    """By the commands of the document, one after the other."""
    add, show, remove = (line.partition("#")[0] for line in blocks("docs/SECURITY.md", "sh")[0].splitlines())

    def run(command: str) -> str:
        environment = environment_of(small.directory)
        return subprocess.check_output(command.split(), cwd=checkout, env=environment, text=True, timeout=TIMEOUT)

    key = run(add).strip()
    assert status_for(small, f"Bearer {key}") == 200
    assert run(show).split() == ["tests", "laptop"]
    run(remove)
    assert status_for(small, f"Bearer {key}") == 401
    assert status_for(small, small.headers["Authorization"]) == 200
