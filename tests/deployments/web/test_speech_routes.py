"""The two routes of /api/v1 that speak, over fake engines."""

import asyncio
import base64
import io
import json
import time
import wave
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from deployments.speech.voices import VoiceService
from deployments.web.audio_encoder import to_int16
from deployments.web.failures import error_response
from models import OverloadedError, Priority, Samples, Sampling, VoicePrompt
from tests.deployments.fake_engine import DEFAULT_FRAMES, SAMPLES_PER_FRAME, frame
from tests.deployments.helpers import App
from voices import Voice

SYNTHESIZE = "/api/v1/tts/synthesize"
DESIGN = "/api/v1/tts/design"


class EndlessFile(soundfile.SoundFile):
    """A streamed FLAC knows no length, and soundfile could not seek in it."""

    def seekable(self) -> bool:
        return False


def expected(frames: int = DEFAULT_FRAMES) -> bytes:
    return to_int16(np.concatenate([frame(index) for index in range(frames)]))


def test_a_whole_wav_has_true_sizes_and_says_what_it_is(app: App) -> None:
    answer = app.http.post(SYNTHESIZE, json={"text": "Hello.", "voice": "narrator_cloned", "seed": 5})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert int(answer.headers["content-length"]) == len(answer.content)
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.readframes(file.getnframes()) == expected()
    assert float(answer.headers["x-audio-duration"]) == DEFAULT_FRAMES * 0.08
    assert float(answer.headers["x-rtf"]) > 0
    assert {name: answer.headers[name] for name in ("x-model", "x-voice", "x-seed", "x-sample-rate")} == {
        "x-model": "base-small-bf16",
        "x-voice": "narrator_cloned",
        "x-seed": "5",
        "x-sample-rate": "24000",
    }
    assert answer.headers["x-request-id"]


def test_a_streamed_wav_has_unknown_sizes_and_the_same_samples(app: App) -> None:
    answer = app.http.post(SYNTHESIZE, json={"text": "[frames 20]", "voice": "narrator_cloned", "stream": True})
    assert "content-length" not in answer.headers
    assert answer.content[4:8] == answer.content[40:44] == b"\xff" * 4
    assert answer.content[44:] == expected(20)
    assert answer.headers["x-seed"] == "7"


def test_the_whole_is_computed_as_a_whole_and_the_stream_is_not(app: App) -> None:
    for stream in (False, True):
        app.http.post(SYNTHESIZE, json={"text": "Hello.", "voice": "narrator_cloned", "stream": stream})
    assert [request.whole for request in app.engines["base-small-bf16"].requests] == [True, False]


@pytest.mark.parametrize(("audio_format", "kind"), [("mp3", "MP3"), ("flac", "FLAC"), ("opus", "OGG")])
@pytest.mark.parametrize("stream", [False, True])
def test_compressed_formats_decode_to_the_utterance(app: App, audio_format: str, kind: str, stream: bool) -> None:
    body = {"text": "[frames 20]", "voice": "narrator_cloned", "format": audio_format, "stream": stream}
    answer = app.http.post(SYNTHESIZE, json=body)
    assert answer.headers["content-type"] == {"mp3": "audio/mpeg"}.get(audio_format, f"audio/{audio_format}")
    with EndlessFile(io.BytesIO(answer.content)) as file:
        assert (file.format, file.samplerate, file.channels) == (kind, 24_000, 1)
        samples = file.read(frames=100 * SAMPLES_PER_FRAME, dtype="float32")
    assert abs(len(samples) - 20 * SAMPLES_PER_FRAME) < 2 * SAMPLES_PER_FRAME
    assert 0.3 < np.abs(samples[SAMPLES_PER_FRAME : -2 * SAMPLES_PER_FRAME]).max() < 0.7


def test_json_holds_the_same_file(app: App) -> None:
    body = {"text": "Hello.", "voice": "narrator_cloned", "format": "pcm"}
    answer = app.http.post(SYNTHESIZE, json=body, headers={"Accept": "application/json"}).json()
    assert base64.b64decode(answer["audio"]) == expected()
    assert (answer["sample_rate"], answer["duration_s"], answer["seed"]) == (24_000, DEFAULT_FRAMES * 0.08, 7)
    assert answer["finish_reason"] == "eos"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json, text/plain, */*", "audio/wav"),
        ("audio/wav;q=0.2, application/json;q=0.4", "application/json"),
        ("application/json;q=0, */*", "audio/wav"),
        ("text/html", "audio/wav"),
    ],
)
def test_json_is_sent_to_those_who_prefer_it(app: App, accept: str, media_type: str) -> None:
    body = {"text": "Hello.", "voice": "narrator_cloned"}
    answer = app.http.post(SYNTHESIZE, json=body, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    streamed = app.http.post(SYNTHESIZE, json={**body, "stream": True}, headers={"Accept": accept})
    assert streamed.status_code == (200 if media_type == "audio/wav" else 400)


def test_the_request_reaches_the_engine_as_it_was_sent(app: App) -> None:
    body = {
        "text": "Guten Tag.",
        "voice": "NARRATOR_cloned",
        "model": "base-small-fp32",
        "language": "German",
        "seed": 2**64 - 1,
        "sampling": {"temperature": 0.5, "predictor_top_k": 3},
        "timeout_s": 12,
        "priority": "batch",
    }
    assert app.http.post(SYNTHESIZE, json=body).status_code == 200
    [request] = app.engines["base-small-fp32"].requests
    assert (request.text, request.language, request.priority) == ("Guten Tag.", "german", Priority.BATCH)
    assert request.timeout_s == pytest.approx(12, abs=1)
    assert request.voice is not None
    assert request.voice.is_icl
    assert (request.sampling.seed, request.sampling.temperature) == (2**64 - 1, 0.5)
    assert (request.sampling.predictor_top_k, request.sampling.top_k) == (3, None)
    assert not app.engines["base-small-bf16"].requests


def test_without_sampling_the_checkpoints_defaults_hold(app: App) -> None:
    app.http.post(SYNTHESIZE, json={"text": "Hello.", "voice": "narrator_cloned"})
    assert app.engines["base-small-bf16"].requests[0].sampling == Sampling()


@pytest.mark.parametrize("said", [{"seed": 5}, {"temperature": 0.5}, {"predictor_top_p": 0.5}])
def test_what_a_request_leaves_open_is_left_to_the_checkpoint(app: App, said: dict[str, Any]) -> None:
    """A seed, or one setting, says nothing of the others."""
    native = {"seed": said["seed"]} if "seed" in said else {"sampling": said}
    assert app.http.post(SYNTHESIZE, json={"text": "Hello.", "voice": "narrator_cloned", **native}).status_code == 200
    assert app.engines["base-small-bf16"].requests[-1].sampling == Sampling(**said)
    if "predictor_top_p" not in said:  # it is no field of OpenAI's route
        app.http.post("/v1/audio/speech", json={"input": "Hello.", "model": "tts-1", "voice": "alloy", **said})
        assert app.engines["base-small-bf16"].requests[-1].sampling == Sampling(**said)


def test_a_designed_voice_is_spoken_by_its_description(app: App) -> None:
    answer = app.http.post(SYNTHESIZE, json={"text": "Hello.", "voice": "narrator_designed"})
    assert answer.headers["x-model"] == "voice-design-nf4"
    [request] = app.engines["voice-design-nf4"].requests
    assert request.description == "A clear, professional narrator voice"
    assert request.voice is None


def test_design_takes_the_description_of_the_request(app: App) -> None:
    answer = app.http.post(DESIGN, json={"text": "Hello.", "description": "An old sailor"})
    assert answer.status_code == 200
    assert "x-voice" not in answer.headers
    assert app.engines["voice-design-nf4"].requests[0].description == "An old sailor"


def test_a_voice_is_encoded_once_for_each_checkpoint(app: App) -> None:
    for _ in range(3):
        app.http.post(SYNTHESIZE, json={"text": "Hello.", "voice": "narrator_cloned"})
    assert len(app.engines["base-small-bf16"].encoded) == 1


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("[fail 0]", 500, "generation_failed"),
        ("[fail 3]", 500, "generation_failed"),
        ("[deadline]", 504, "deadline_passed"),
    ],
)
def test_a_whole_file_that_fails_is_a_status(app: App, text: str, status: int, code: str) -> None:
    answer = app.http.post(SYNTHESIZE, json={"text": text, "voice": "narrator_cloned"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_stream_that_fails_before_its_first_chunk_is_a_status(app: App) -> None:
    answer = app.http.post(SYNTHESIZE, json={"text": "[fail 0]", "voice": "narrator_cloned", "stream": True})
    assert answer.status_code == 500


@pytest.mark.parametrize("stream", [False, True])
def test_overload_is_told_before_any_header_of_a_stream(app: App, stream: bool) -> None:
    answer = app.http.post(SYNTHESIZE, json={"text": "[overloaded]", "voice": "narrator_cloned", "stream": stream})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "8")
    assert answer.json()["error"] == {
        "message": "too much is waiting", "type": "rate_limit_error", "param": None, "code": "overloaded",
    }  # fmt: skip
    assert "x-should-retry" not in answer.headers


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1"), (-3.0, "1"), (1.2, "2"), (119.5, "120"), (1e6, "120")])
def test_another_try_is_suggested_within_two_minutes(seconds: float, told: str) -> None:
    assert error_response(OverloadedError("full", seconds)).headers["retry-after"] == told


@pytest.mark.parametrize("stream", [False, True])
def test_the_place_in_the_queue_is_told(app: App, stream: bool) -> None:
    for text, place in (("[queued]", ("3", "1.50")), ("Hello.", ("0", "0.00"))):
        answer = app.http.post(SYNTHESIZE, json={"text": text, "voice": "narrator_cloned", "stream": stream})
        assert (answer.headers["x-queue-position"], answer.headers["x-eta-seconds"]) == place


def test_an_unknown_priority_is_refused(app: App) -> None:
    answer = app.http.post(SYNTHESIZE, json={"text": "Hello.", "voice": "narrator_cloned", "priority": "urgent"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "priority")


def test_preparing_a_voice_takes_from_the_time_of_the_request(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    server = app.servers["base-small-bf16"]
    encode = server.encode_voice

    async def slowly(samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        await asyncio.sleep(0.2)
        return await encode(samples, sample_rate, text)

    monkeypatch.setattr(server, "encode_voice", slowly)
    body = {"text": "Hello.", "voice": "narrator_cloned", "timeout_s": 0.1}
    answer = app.http.post(SYNTHESIZE, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_passed")
    app.http.post(SYNTHESIZE, json={**body, "timeout_s": 30})
    [request] = app.engines["base-small-bf16"].requests
    assert request.timeout_s is not None
    assert request.timeout_s < 29.9


def test_looking_a_voice_up_takes_from_the_time_of_the_request(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(service: VoiceService, name: str) -> Voice:
        await asyncio.sleep(60)
        raise AssertionError(service, name)

    monkeypatch.setattr(VoiceService, "get", never)
    body = {"text": "Hello.", "voice": "narrator_cloned", "timeout_s": 0.1}
    answer = app.http.post(SYNTHESIZE, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_passed")


def test_the_time_of_a_request_begins_before_its_body_is_read(app: App) -> None:
    def body(timeout_s: float) -> Iterator[bytes]:
        text = json.dumps({"text": "Hello.", "voice": "narrator_cloned", "timeout_s": timeout_s}).encode()
        yield text[:10]
        time.sleep(0.3)
        yield text[10:]

    json_type = {"Content-Type": "application/json"}
    answer = app.http.post(SYNTHESIZE, content=body(0.2), headers=json_type)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_passed")
    assert app.http.post(SYNTHESIZE, content=body(30), headers=json_type).status_code == 200
    [request] = app.engines["base-small-bf16"].requests
    assert request.timeout_s is not None
    assert request.timeout_s < 29.7


def test_a_refusal_of_the_engine_names_its_field(app: App) -> None:
    answer = app.http.post(SYNTHESIZE, json={"text": "[reject]", "voice": "narrator_cloned"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "max_frames")


def test_what_is_not_in_the_tree_stays_opaque(app: App) -> None:
    answer = app.broken.post(SYNTHESIZE, json={"text": "[crash]", "voice": "narrator_cloned"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"]
