"""Clips that are encoded, beside everything else: queues, deadlines, clients that leave."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from deployments.speech import prompts
from deployments.speech import voices as voice_service
from deployments.web.app import create_app
from models import Samples, VoicePrompt
from tests.deployments.helpers import App, make_clip, make_config, tree

CLONE = "/api/v1/tts/clone"
SPOKEN = {"text": "Hi.", "voice": "narrator_cloned"}
CLIP = base64.b64encode(make_clip()).decode()


class Slow:
    """The app over a Base model that encodes when it is let, in one event loop as a server has."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.let = asyncio.Event()
        self.asked = 0
        self.done = 0
        server = app.servers["base-small-bf16"]
        self._encode = server.encode_voice
        server.encode_voice = self._encode_slowly  # type: ignore[method-assign]
        transport = httpx.ASGITransport(create_app(app.config, app.servers), client=("127.0.0.1", 50000))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=60)

    async def _encode_slowly(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        self.asked += 1
        await self.let.wait()
        prompt = await self._encode(samples, sample_rate, text)
        self.done += 1
        return prompt

    def clone(self, name: str) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(self.http.post(CLONE, json={"voice_name": name, "reference_audio": CLIP}))

    async def speak(self, voice: str = "narrator_cloned") -> httpx.Response:
        return await self.http.post("/api/v1/tts/synthesize", json={"text": "Hi.", "voice": voice})

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.01)


def run(app: App, test: Callable[[Slow], Awaitable[None]]) -> None:
    async def within_seconds() -> None:
        slow = Slow(app)
        async with asyncio.timeout(30), slow.http:
            await test(slow)

    asyncio.run(within_seconds())


def test_a_voice_that_is_known_waits_for_no_clip(app: App) -> None:
    app.http.post("/api/v1/tts/synthesize", json=SPOKEN)  # afterwards its prompt is on disk

    async def test(slow: Slow) -> None:
        clones = [slow.clone(f"voice {index}") for index in range(12)]
        await slow.until(lambda: slow.asked == 1)
        assert [(await slow.speak()).status_code for _ in range(3)] == [200] * 3
        assert (await slow.http.get("/api/v1/tts/voices")).status_code == 200
        slow.let.set()
        assert {(await clone).status_code for clone in clones} == {201}

    run(app, test)


def test_a_prompt_is_remembered_and_not_too_many_are(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "REMEMBERED", 1)

    async def test(slow: Slow) -> None:
        slow.let.set()
        assert (await slow.clone("Anna")).status_code == 201
        assert (await slow.speak("anna")).status_code == 200
        for file in app.config.voices_directory.rglob("*.safetensors"):
            file.unlink()
        assert (await slow.speak("anna")).status_code == 200
        assert slow.asked == 1
        assert (await slow.speak()).status_code == 200
        assert slow.asked == 2
        assert (await slow.speak("anna")).status_code == 200
        assert slow.asked == 3, "the narrator took its place"

    run(app, test)


def test_a_voice_that_was_deleted_or_corrected_is_not_remembered(app: App) -> None:
    async def test(slow: Slow) -> None:
        slow.let.set()
        body = {"voice_name": "Anna", "reference_audio": CLIP, "reference_text": "A tone."}
        assert (await slow.http.post(CLONE, json=body)).status_code == 201
        assert (await slow.speak("anna")).status_code == 200
        file = app.config.voices_directory / "anna" / "voice.json"
        file.write_text(file.read_text().replace("A tone.", "A sine."))
        assert (await slow.speak("anna")).status_code == 200
        voices = [request.voice for request in app.engines["base-small-bf16"].requests]
        assert [voice.reference_text for voice in voices if voice] == ["A tone.", "A sine."]
        assert (await slow.http.delete("/api/v1/tts/voices/anna")).status_code == 200
        assert (await slow.speak("anna")).status_code == 404

    run(app, test)


def test_too_many_clips_are_refused_with_the_time_to_come_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MAY_WAIT", 1)

    async def test(slow: Slow) -> None:
        first, second = slow.clone("one"), slow.clone("two")
        await slow.until(lambda: slow.asked == 1)
        answers = [await slow.clone(f"more {index}") for index in range(2)]
        for answer in answers:
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "overloaded")
            assert 1 <= int(answer.headers["retry-after"]) <= 120
        second.cancel()
        third = slow.clone("three")
        slow.let.set()
        assert ((await first).status_code, (await third).status_code) == (201, 201)
        assert slow.asked == 2

    run(app, test)


def test_a_first_use_is_made_once_for_all_who_wait_for_it(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MAY_WAIT", 0)

    async def test(slow: Slow) -> None:
        speaking = [asyncio.create_task(slow.speak()) for _ in range(8)]
        await slow.until(lambda: slow.asked == 1)
        speaking[0].cancel()
        slow.let.set()
        assert {(await task).status_code for task in speaking[1:]} == {200}
        assert slow.asked == 1

    run(app, test)


def test_a_first_use_that_everybody_left_is_kept_all_the_same(app: App) -> None:
    async def test(slow: Slow) -> None:
        speaking = asyncio.create_task(slow.speak())
        await slow.until(lambda: slow.asked == 1)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        again = asyncio.create_task(slow.speak())
        await asyncio.sleep(0.1)
        assert slow.asked == 1
        slow.let.set()
        assert (await again).status_code == 200
        assert slow.asked == 1

    run(app, test)


@pytest.mark.parametrize("path", ["/api/v1/tts/clone", "/v1/audio/voices"])
def test_making_a_voice_has_a_deadline(tmp_path: Path, path: str) -> None:
    app = App(make_config(tmp_path / "voices", default_timeout_s=0.5))
    before = tree(app.config.voices_directory)
    bodies = {
        "/api/v1/tts/clone": {"voice_name": "me", "reference_audio": CLIP},
        "/v1/audio/voices": {"name": "me", "wav_b64": CLIP},
    }

    async def test(slow: Slow) -> None:
        answer = await slow.http.post(path, json=bodies[path])
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_passed")
        slow.let.set()
        await slow.until(lambda: slow.asked == slow.done)
        await asyncio.sleep(0.1)
        assert tree(app.config.voices_directory) == before
        assert (await slow.http.post(path, json=bodies[path])).status_code == 201

    run(app, test)


def test_a_client_that_leaves_has_made_no_voice(app: App) -> None:
    before = tree(app.config.voices_directory)

    async def test(slow: Slow) -> None:
        clone = slow.clone("me")
        await slow.until(lambda: slow.asked == 1)
        clone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await clone
        slow.let.set()
        await slow.until(lambda: slow.done == 1)
        await asyncio.sleep(0.1)
        assert tree(app.config.voices_directory) == before
        assert (await slow.clone("me")).status_code == 201, "it comes again"

    run(app, test)


def test_clips_to_be_decoded_are_bounded_too(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_service, "CLIPS_WAITING", 1)

    async def test(slow: Slow) -> None:
        slow.let.set()
        answers = await asyncio.gather(*(slow.clone(f"voice {index}") for index in range(6)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201, 201, 429, 429, 429, 429]

    run(app, test)
