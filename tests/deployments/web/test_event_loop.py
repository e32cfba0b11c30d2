"""The ingress has one event loop: whatever holds it up holds up every stream, probe and disconnect."""

import asyncio
import base64
import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.web.app import create_app
from tests.deployments.helpers import App, make_config

LONGEST_STALL_S = 0.05
TRIES = 3  # the machine may be busy with something else
SYNTHESIZE = "/api/v1/tts/synthesize"
FILE_MODEL, STREAM_MODEL = "base-small-fp32", "base-small-bf16"
PASSAGES = 11
SECONDS_OF_PASSAGE = 25
CLIP_BYTES = 11 * 1024 * 1024  # in base64 a little less than a body may be


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(make_config(tmp_path / "voices"))
    made.engines[FILE_MODEL].frame_s = 0.0002
    yield made
    made.close()


@dataclass(frozen=True)
class Question:
    """A request whose answer, or whose body, is large."""

    path: str
    body: bytes
    check: Callable[[httpx.Response], None]
    content_type: str = "application/json"
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
    return Question(SYNTHESIZE, json.dumps(body).encode(), check, accept=accept)


def refused(field: str) -> Callable[[httpx.Response], None]:
    """For a clip that is no audio: what is measured ends where audio would begin to be decoded."""

    def check(answer: httpx.Response) -> None:
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)

    return check


def clip(path: str, field: str, **body: Any) -> Question:
    text = base64.b64encode(random.randbytes(CLIP_BYTES)).decode()
    return Question(path, json.dumps({**body, field: text}).encode(), refused(field))


def form(path: str, field: str, **body: str) -> Question:
    file = {field: random.randbytes(CLIP_BYTES)}
    sent = httpx.Request("POST", "http://127.0.0.1", data=body, files=file)
    return Question(path, sent.read(), refused(field), sent.headers["content-type"])


QUESTIONS = {
    "opus": file("opus"),
    "mp3": file("mp3"),
    "wav": file("wav"),
    "json": file("wav", "application/json"),
    "clip": clip("/v1/audio/speech", "ref_audio", input="Hi", model="tts-1", x_vector_only_mode=True),
    "upload": clip("/api/v1/tts/clone", "reference_audio", voice_name="big"),
    "form": form("/api/v1/tts/clone", "reference_audio", voice_name="big"),
}
STREAM = {"text": "[forever]", "voice": "narrator_cloned", "model": STREAM_MODEL, "stream": True, "format": "opus"}


async def longest_stall(app: App, question: Question) -> float:
    """Seconds that the loop was held up at most while a question was answered beside a stream."""
    transport = httpx.ASGITransport(create_app(app.config, app.servers), client=("127.0.0.1", 50000))
    headers = {"Content-Type": question.content_type, "Accept": question.accept}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=None) as client:
        stream = asyncio.ensure_future(client.post(SYNTHESIZE, json=STREAM))
        await asyncio.sleep(0.3)
        watch = asyncio.ensure_future(_lateness())
        answer = await client.post(question.path, content=question.body, headers=headers)
        watch.cancel()
        assert not stream.done()
        stream.cancel()
        late, _ = await asyncio.gather(watch, stream, return_exceptions=True)
    question.check(answer)
    assert isinstance(late, float)
    return late


async def _lateness() -> float:
    """The longest that a sleep overslept because of what this process did: without the time for which the loop's thread
    waited for a processor, and no longer than all threads ran; one that holds the interpreter's lock may wait, too."""
    loop = str(threading.get_native_id())
    longest, before = 0.0, _threads()
    while True:
        began = time.perf_counter()
        try:
            await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            return longest
        late = time.perf_counter() - began - 0.002
        after = _threads()
        ran = sum(times[0] - before.get(thread, (0.0, 0.0))[0] for thread, times in after.items())
        longest = max(longest, min(ran, late - (after[loop][1] - before[loop][1])))
        before = after


def _threads() -> dict[str, tuple[float, float]]:
    """Of each thread, the seconds that it ran and that it waited for a processor."""
    threads: dict[str, tuple[float, float]] = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            ran, waited, _ = (thread / "schedstat").read_text().split()
            threads[thread.name] = int(ran) / 1e9, int(waited) / 1e9
    return threads


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_loop_is_never_held_up(app: App, name: str) -> None:
    stalls: list[float] = []
    while not stalls or (min(stalls) >= LONGEST_STALL_S and len(stalls) < TRIES):
        stalls.append(asyncio.run(longest_stall(app, QUESTIONS[name])))
    assert min(stalls) < LONGEST_STALL_S, stalls
