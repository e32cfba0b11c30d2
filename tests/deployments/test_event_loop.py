"""The ingress has one event loop: whatever holds it up holds up every stream, probe and disconnect."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.http_app import create_app
from tests.deployments.helpers import App, make_config

LONGEST_STALL_S = 0.05
TRIES = 5  # the machine may be busy with something else
SYNTHESIZE = "/api/v1/tts/synthesize"
FILE_MODEL, STREAM_MODEL = "base-small-fp32", "base-small-bf16"
PASSAGES = 11
SECONDS_OF_PASSAGE = 25
CLIP_BYTES = 11 * 1024 * 1024  # in base64 a little less than a body may be


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(make_config(tmp_path / "voices"))
    made.engines[FILE_MODEL].frame_s = 0.0
    yield made
    made.close()


@dataclass(frozen=True)
class Question:
    """A request whose answer, or whose body, is large."""

    path: str
    body: Mapping[str, Any]
    check: Callable[[httpx.Response], None]
    accept: str = "*/*"


def long_text() -> str:
    """As long as a text may be; the fake engine makes 275 s of it."""
    passage = f"[frames {SECONDS_OF_PASSAGE * 25 // 2}] ".ljust(369, "a") + ". "
    text = passage * PASSAGES
    assert 4000 < len(text) <= 4096
    return text


def file(audio_format: str, accept: str = "*/*") -> Question:
    def check(answer: httpx.Response) -> None:
        assert answer.status_code == 200
        told = answer.json()["duration_s"] if "json" in accept else float(answer.headers["x-audio-duration"])
        assert told == pytest.approx(PASSAGES * SECONDS_OF_PASSAGE, abs=1)

    body = {"text": long_text(), "voice": "narrator_cloned", "model": FILE_MODEL, "format": audio_format}
    return Question(SYNTHESIZE, body, check, accept)


def clip(path: str, field: str, **body: Any) -> Question:
    """One that is no audio: what is measured ends where audio would begin to be decoded."""

    def check(answer: httpx.Response) -> None:
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)

    return Question(path, {**body, field: base64.b64encode(bytes(CLIP_BYTES)).decode()}, check)


QUESTIONS = {
    "opus": file("opus"),
    "mp3": file("mp3"),
    "wav": file("wav"),
    "json": file("wav", "application/json"),
    "clip": clip("/v1/audio/speech", "ref_audio", input="Hi", model="tts-1", x_vector_only_mode=True),
    "upload": clip("/api/v1/tts/clone", "reference_audio", voice_name="big"),
}
STREAM = {"text": "[forever]", "voice": "narrator_cloned", "model": STREAM_MODEL, "stream": True, "format": "opus"}


async def longest_stall(app: App, question: Question) -> float:
    """Seconds that the loop was held up at most while a question was answered beside a stream."""
    transport = httpx.ASGITransport(create_app(app.config, app.servers), client=("127.0.0.1", 50000))
    body = json.dumps(question.body).encode()
    headers = {"Content-Type": "application/json", "Accept": question.accept}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=None) as client:
        stream = asyncio.ensure_future(client.post(SYNTHESIZE, json=STREAM))
        await asyncio.sleep(0.3)
        watch = asyncio.ensure_future(_lateness())
        answer = await client.post(question.path, content=body, headers=headers)
        watch.cancel()
        assert not stream.done()
        stream.cancel()
        late, _ = await asyncio.gather(watch, stream, return_exceptions=True)
    question.check(answer)
    assert isinstance(late, float)
    return late


async def _lateness() -> float:
    """The longest that a sleep overslept, without the time in which this thread could run and got no processor."""
    longest = 0.0
    while True:
        began, waited = time.perf_counter(), _waited_s()
        try:
            await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            return longest
        late = time.perf_counter() - began - 0.002
        longest = max(longest, late - (_waited_s() - waited))


def _waited_s() -> float:
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_loop_is_never_held_up(app: App, name: str) -> None:
    stalls: list[float] = []
    while not stalls or (min(stalls) >= LONGEST_STALL_S and len(stalls) < TRIES):
        stalls.append(asyncio.run(longest_stall(app, QUESTIONS[name])))
    assert min(stalls) < LONGEST_STALL_S, stalls
