"""/v1 as its clients use it, over fake engines."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.web.audio_encoder import to_int16
from models import Priority
from tests.deployments.fake_engine import DEFAULT_FRAMES, frame
from tests.deployments.helpers import App, make_clip, make_config

SPEECH = "/v1/audio/speech"
BODY = {"model": "tts-1", "input": "Hello.", "voice": "alloy"}
PCM = to_int16(np.concatenate([frame(index) for index in range(DEFAULT_FRAMES)]))


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]


def test_the_default_is_mp3(app: App) -> None:
    answer = app.http.post(SPEECH, json=BODY)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
    assert answer.content[:1] == b"\xff"


def test_pcm_is_the_bare_samples(app: App) -> None:
    answer = app.http.post(SPEECH, json={**BODY, "response_format": "pcm"})
    assert (answer.headers["content-type"], answer.content) == ("audio/pcm", PCM)


@pytest.mark.parametrize(("stream", "size"), [(True, b"\xff" * 4), (False, len(PCM).to_bytes(4, "little"))])
def test_wav_streams_unless_told_not_to(app: App, stream: bool, size: bytes) -> None:
    answer = app.http.post(SPEECH, json={**BODY, "response_format": "wav", "stream": stream})
    assert answer.content[40:44] == size
    assert answer.content[44:] == PCM
    assert ("content-length" in answer.headers) is not stream


def test_events_hold_the_audio_and_then_the_usage(app: App) -> None:
    answer = app.http.post(SPEECH, json={**BODY, "response_format": "pcm", "stream_format": "sse"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *deltas, done = events(answer.text)
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == PCM
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 11, "output_tokens": DEFAULT_FRAMES, "total_tokens": 11 + DEFAULT_FRAMES},
        "finish_reason": "eos",
    }


def test_overload_is_told_before_any_event(app: App) -> None:
    answer = app.http.post(SPEECH, json={**BODY, "input": "[overloaded]", "stream_format": "sse"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "8")


def test_events_that_break_off_end_with_an_error(app: App) -> None:
    body = {**BODY, "input": "[fail 3]", "response_format": "pcm", "stream_format": "sse"}
    *deltas, last = events(app.http.post(SPEECH, json=body).text)
    assert deltas
    assert last["type"] == "speech.audio.error"
    assert last["error"]["code"] == "generation_failed"


@pytest.mark.parametrize("name", ["alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer",
                                  "verse", "marin", "cedar", "Alloy", "narrator_cloned"])  # fmt: skip
def test_stock_names_stand_for_a_configured_voice_and_say_so(app: App, name: str) -> None:
    answer = app.http.post(SPEECH, json={**BODY, "voice": name})
    assert answer.headers["x-voice"] == "narrator_cloned"


def test_stock_names_can_be_configured(tmp_path: Path) -> None:
    app = App(make_config(tmp_path, openai_voices={"alloy": "narrator_designed"}))
    assert app.http.post(SPEECH, json=BODY).headers["x-voice"] == "narrator_designed"
    assert app.http.post(SPEECH, json={**BODY, "voice": "echo"}).status_code == 404


def test_a_voice_of_the_library_comes_before_a_stock_name(app: App) -> None:
    files = {"audio_sample": make_clip()}
    assert app.http.post("/v1/audio/voices", data={"name": "Alloy"}, files=files).status_code == 201
    assert app.http.post(SPEECH, json=BODY).headers["x-voice"] == "alloy"


@pytest.mark.parametrize(
    "model", ["tts-1", "tts-1-hd", "gpt-4o-mini-tts", "base-small-bf16", "Qwen/Qwen3-TTS-12Hz-0.6B-Base"]
)
def test_model_names_are_lenient(app: App, model: str) -> None:
    assert app.http.post(SPEECH, json={**BODY, "model": model}).headers["x-model"] == "base-small-bf16"


def test_a_voice_may_be_an_object(app: App) -> None:
    assert app.http.post(SPEECH, json={**BODY, "voice": {"id": "echo"}}).status_code == 200


def test_instructions_design_a_voice_or_add_to_a_designed_one(app: App) -> None:
    del_voice = {"model": "tts-1", "input": "Hello.", "instructions": "An old sailor."}
    assert app.http.post(SPEECH, json=del_voice).status_code == 200
    assert app.http.post(SPEECH, json={**del_voice, "voice": "narrator_designed"}).status_code == 200
    described = [request.description for request in app.engines["voice-design-nf4"].requests]
    assert described == ["An old sailor.", "A clear, professional narrator voice An old sailor."]


def test_extensions_reach_the_engine(app: App) -> None:
    body = {
        "model": "tts-1", "input": "Hello.", "speaker": "alloy", "language": "English", "task_type": "Base", "seed": 3,
        "priority": "batch", "max_new_tokens": 40, "temperature": 0.2, "top_k": 5, "top_p": 0.5,
        "repetition_penalty": 1.2,
    }  # fmt: skip
    assert app.http.post(SPEECH, json=body).headers["x-seed"] == "3"
    [request] = app.engines["base-small-bf16"].requests
    sampling = request.sampling
    assert (request.language, request.max_frames, request.priority) == ("english", 40, Priority.BATCH)
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.repetition_penalty) == (0.2, 5, 0.5, 1.2)


@pytest.mark.parametrize(("x_vector", "text"), [(False, "A tone."), (True, None)])
def test_a_clip_can_come_with_the_request_and_is_not_kept(app: App, x_vector: bool, text: str | None) -> None:
    clip = "data:audio/wav;base64," + base64.b64encode(make_clip()).decode()
    body = {
        "model": "tts-1",
        "input": "Hello.",
        "ref_audio": clip,
        "ref_text": "A tone.",
        "x_vector_only_mode": x_vector,
    }
    assert app.http.post(SPEECH, json=body).status_code == 200
    [request] = app.engines["base-small-bf16"].requests
    assert request.voice is not None
    assert request.voice.reference_text == text
    assert len(app.http.get("/v1/audio/voices").json()["voices"]) == 2


def test_models_are_listed_and_found(app: App) -> None:
    listed = app.http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [card["id"] for card in listed["data"]] == ["base-small-bf16", "base-small-fp32", "voice-design-nf4"]
    assert app.http.get("/v1/audio/models").json() == listed
    assert app.http.get("/v1/models/base-small-fp32").json()["object"] == "model"
    assert app.http.get("/v1/models/tts-1").status_code == 404


def test_voices_are_objects_or_names(app: App) -> None:
    voices = app.http.get("/v1/audio/voices").json()["voices"]
    assert [voice["name"] for voice in voices] == ["narrator_cloned", "narrator_designed"]
    assert all(voice["id"] for voice in voices)
    legacy = app.http.get("/v1/audio/voices", params={"legacy": "true"}).json()
    assert legacy == {"voices": ["narrator_cloned", "narrator_designed"]}


def test_a_voice_without_consent_is_not_made(app: App) -> None:
    answer = app.http.post(
        "/v1/audio/voices", data={"name": "me", "consent": "false"}, files={"audio_sample": make_clip()}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "consent")
