"""Every refusal: its status, the field it names, its form, its speed, and that nothing changed on disk."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.helpers import CUSTOM_VOICE, MODELS, App, make_clip, make_config, refused_at_once, tree

SYNTHESIZE = "/api/v1/tts/synthesize"
DESIGN = "/api/v1/tts/design"
CLONE = "/api/v1/tts/clone"
SPEECH = "/v1/audio/speech"
SPOKEN: dict[str, Any] = {"text": "Hello.", "voice": "narrator_cloned"}
DESIGNED: dict[str, Any] = {"text": "Hello.", "description": "An old sailor"}
OPENAI: dict[str, Any] = {"input": "Hello.", "model": "tts-1", "voice": "alloy", "response_format": "wav"}
CLIP = base64.b64encode(make_clip()).decode()
CLONED: dict[str, Any] = {"voice_name": "me", "reference_audio": CLIP}
LYING_WAV = base64.b64encode(make_clip()[:20_000]).decode()

REFUSALS = [
    (SYNTHESIZE, {**SPOKEN, "text": ""}, 400, "text"),
    (SYNTHESIZE, {**SPOKEN, "text": " \n\t\u2003"}, 400, "text"),
    (SYNTHESIZE, {**SPOKEN, "text": "\x00\x07\x1b\u200b"}, 400, "text"),
    (SYNTHESIZE, {**SPOKEN, "text": "a" * 100_000}, 400, "text"),
    (SYNTHESIZE, {**SPOKEN, "text": 5}, 400, "text"),
    (SYNTHESIZE, {"voice": "narrator_cloned"}, 400, "text"),
    (SYNTHESIZE, {**SPOKEN, "language": "klingon"}, 400, "language"),
    (SYNTHESIZE, {**SPOKEN, "voice": "nobody"}, 404, "voice"),
    (SYNTHESIZE, {**SPOKEN, "voice": "../../etc/passwd"}, 404, "voice"),
    (SYNTHESIZE, {**SPOKEN, "voice": ""}, 404, "voice"),
    (SYNTHESIZE, {**SPOKEN, "model": "gpt-9"}, 404, "model"),
    (SYNTHESIZE, {**SPOKEN, "model": "voice-design-nf4"}, 400, "model"),
    (SYNTHESIZE, {**SPOKEN, "voice": "narrator_designed", "model": "base-small-bf16"}, 400, "model"),
    (SYNTHESIZE, {**SPOKEN, "format": "ogg"}, 400, "format"),
    (SYNTHESIZE, {**SPOKEN, "colour": "red"}, 400, "colour"),
    (SYNTHESIZE, {**SPOKEN, "sampling": {"heat": 1}}, 400, "sampling.heat"),
    (SYNTHESIZE, {**SPOKEN, "sampling": {"top_p": 0}}, 400, "top_p"),
    (SYNTHESIZE, {**SPOKEN, "sampling": {"temperature": -1}}, 400, "temperature"),
    (SYNTHESIZE, {**SPOKEN, "seed": -1}, 400, "seed"),
    (SYNTHESIZE, {**SPOKEN, "seed": "5"}, 400, "seed"),
    (SYNTHESIZE, {**SPOKEN, "seed": True}, 400, "seed"),
    (SYNTHESIZE, {**SPOKEN, "timeout_s": 0}, 400, "timeout_s"),
    (SYNTHESIZE, {**SPOKEN, "timeout_s": 1e9}, 400, "timeout_s"),
    (SYNTHESIZE, {**SPOKEN, "stream": "yes"}, 400, "stream"),
    (SYNTHESIZE, [1, 2], 400, None),
    (DESIGN, {**DESIGNED, "description": " "}, 400, "description"),
    (DESIGN, {**DESIGNED, "text": ""}, 400, "text"),
    (DESIGN, {**DESIGNED, "model": "base-small-fp32"}, 400, "model"),
    (DESIGN, {**DESIGNED, "voice": "narrator_cloned"}, 400, "voice"),
    (CLONE, {**CLONED, "reference_audio": "%%% not base64"}, 400, "reference_audio"),
    (CLONE, {**CLONED, "reference_audio": ""}, 400, "reference_audio"),
    (CLONE, {**CLONED, "reference_audio": "data:audio/wav,abc"}, 400, "reference_audio"),
    (CLONE, {**CLONED, "reference_audio": LYING_WAV}, 400, "reference_audio"),
    (CLONE, {**CLONED, "reference_audio": base64.b64encode(b"no audio at all").decode()}, 400, "reference_audio"),
    (CLONE, {**CLONED, "reference_audio": base64.b64encode(make_clip(0.3)).decode()}, 400, "reference_audio"),
    (CLONE, {**CLONED, "voice_name": "a/b"}, 400, "voice_name"),
    (CLONE, {**CLONED, "voice_name": ""}, 400, "voice_name"),
    (CLONE, {**CLONED, "voice_name": "narrator_cloned"}, 409, None),
    (CLONE, {**CLONED, "rate": 3}, 400, "rate"),
    (CLONE, {"voice_name": "me"}, 400, "reference_audio"),
    (SPEECH, {**OPENAI, "input": ""}, 400, "input"),
    (SPEECH, {**OPENAI, "input": "a" * 100_000}, 400, "input"),
    (SPEECH, {**OPENAI, "voice": "nobody"}, 404, "voice"),
    (SPEECH, {**OPENAI, "model": "gpt-9"}, 404, "model"),
    (SPEECH, {**OPENAI, "model": "voice-design-nf4"}, 400, "model"),
    (SPEECH, {**OPENAI, "response_format": "aac"}, 400, "response_format"),
    (SPEECH, {**OPENAI, "response_format": "midi"}, 400, "response_format"),
    (SPEECH, {**OPENAI, "speed": 1.5}, 400, "speed"),
    (SPEECH, {**OPENAI, "instructions": "Cheerfully!"}, 400, "instructions"),
    (SPEECH, {**OPENAI, "speaker": "alloy"}, 400, "speaker"),
    (SPEECH, {**OPENAI, "language": "klingon"}, 400, "language"),
    (SPEECH, {**OPENAI, "task_type": "VoiceDesign"}, 400, "task_type"),
    (SPEECH, {**OPENAI, "max_new_tokens": 0}, 400, "max_new_tokens"),
    (SPEECH, {**OPENAI, "input": "[reject]"}, 400, "max_new_tokens"),
    (SPEECH, {**OPENAI, "ref_text": "Hello."}, 400, "ref_text"),
    (SPEECH, {**OPENAI, "ref_audio": CLIP, "ref_text": "Hello."}, 400, "voice"),
    (SPEECH, {**OPENAI, "voice": None, "ref_audio": CLIP}, 400, "ref_text"),
    (
        SPEECH,
        {**OPENAI, "voice": None, "ref_audio": "https://example.org/a.wav", "ref_text": "Hello."},
        400,
        "ref_audio",
    ),
    (SPEECH, {**OPENAI, "voice": None, "ref_audio": "file:///etc/passwd", "ref_text": "Hello."}, 400, "ref_audio"),
    (SPEECH, {**OPENAI, "voice": None}, 400, "voice"),
    (SPEECH, {**OPENAI, "voice": {"id": 3}}, 400, "voice"),
    (SPEECH, {**OPENAI, "stream_format": "sse", "stream": False}, 400, "stream"),
    (SPEECH, {**OPENAI, "colour": "red"}, 400, "colour"),
    ("/v1/audio/voices", {"name": "me", "wav_b64": "%%%"}, 400, "wav_b64"),
    ("/v1/audio/voices", {"name": "a\\b", "wav_b64": CLIP}, 400, "name"),
]


@pytest.fixture(scope="module")
def _asked_by_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    made = App(make_config(tmp_path_factory.mktemp("refusals") / "voices"))
    made.http.post(SYNTHESIZE, json=SPOKEN)  # afterwards the preset's conditioning is on disk
    yield made
    made.close()


@pytest.fixture
def app(_asked_by_all: App) -> App:
    """One for all tests of this file: the voices that one of them lets be made are gone before the next."""
    for voice in _asked_by_all.http.get("/api/v1/tts/voices").json()["voices"]:
        _asked_by_all.http.delete(f"/api/v1/tts/voices/{voice['id']}")  # which those that are shipped survive
    return _asked_by_all


@pytest.mark.parametrize(("path", "body", "status", "field"), REFUSALS)
def test_it_is_refused_at_once_and_changes_nothing(
    app: App, path: str, body: Any, status: int, field: str | None
) -> None:
    before, asked = tree(app.config.voices_directory), spoken_by(app)
    answer = refused_at_once(lambda: app.http.post(path, json=body), lambda: app.http.get("/livez"))
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == field
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"]
    assert (tree(app.config.voices_directory), spoken_by(app)) == (before, asked)
    assert app.http.post(SYNTHESIZE, json=SPOKEN).status_code == 200


@pytest.mark.parametrize(
    ("name", "clip", "code"),
    [("a\\b", CLIP, "invalid_voice_name"), ("me", base64.b64encode(b"RIFF").decode(), "invalid_reference_audio")],
)
def test_both_faces_have_the_same_codes(app: App, name: str, clip: str, code: str) -> None:
    native = app.http.post(CLONE, json={"voice_name": name, "reference_audio": clip})
    openai = app.http.post("/v1/audio/voices", json={"name": name, "wav_b64": clip})
    assert [answer.json()["error"]["code"] for answer in (native, openai)] == [code, code]


def spoken_by(app: App) -> list[int]:
    """How many requests each engine took."""
    return [len(engine.requests) for engine in app.engines.values()]


def test_a_refusal_lists_what_there_is(app: App) -> None:
    language = app.http.post(SYNTHESIZE, json={**SPOKEN, "language": "klingon"}).json()["error"]["message"]
    assert "english" in language
    model = app.http.post(SYNTHESIZE, json={**SPOKEN, "model": "voice-design-nf4"}).json()["error"]["message"]
    assert "base-small-fp32" in model


def test_a_task_no_model_can_do_lists_what_is_configured(tmp_path: Path) -> None:
    app = App(make_config(tmp_path, models=MODELS[:1]))
    answer = app.http.post(DESIGN, json=DESIGNED)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert "base-small-bf16" in answer.json()["error"]["message"]


def test_a_body_past_the_limit_is_refused_declared_or_not(tmp_path: Path) -> None:
    app = App(make_config(tmp_path, max_body_mb=1))
    content = b'{"text": "' + b"a" * (1 << 20) + b'"}'
    declared = app.http.post(SYNTHESIZE, content=content, headers={"content-type": "application/json"})
    halves = iter([content[: 1 << 19], content[1 << 19 :]])
    chunked = app.http.post(SYNTHESIZE, content=halves, headers={"content-type": "application/json"})
    for answer in (declared, chunked):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_the_length_of_a_text_is_configurable(tmp_path: Path) -> None:
    app = App(make_config(tmp_path, max_text_characters=5))
    assert app.http.post(SYNTHESIZE, json={**SPOKEN, "text": "12345"}).status_code == 200
    assert app.http.post(SYNTHESIZE, json={**SPOKEN, "text": "123456"}).status_code == 400


@pytest.mark.parametrize("path", [SYNTHESIZE, DESIGN, CLONE, SPEECH, "/v1/audio/voices"])
def test_what_is_not_json_is_said_to_be_not_json(app: App, path: str) -> None:
    broken = app.http.post(path, content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, set(broken.json())) == (400, {"error"})
    form = app.http.post(path, data={"text": "Hello."})
    assert (form.status_code, form.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_text_with_lone_surrogates_is_refused(app: App) -> None:
    content = b'{"text": "\\ud800", "voice": "narrator_cloned"}'
    answer = app.http.post(SYNTHESIZE, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "text")


def test_not_a_number_is_refused(app: App) -> None:
    content = b'{"text": "Hi", "voice": "narrator_cloned", "sampling": {"temperature": NaN}, "timeout_s": Infinity}'
    answer = app.http.post(SYNTHESIZE, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/readyz", 404),
        ("GET", SPEECH, 405),
        ("GET", "/api/v1/tts/voices/nobody", 404),
    ],
)
def test_wrong_paths_and_methods_have_the_same_form(app: App, method: str, path: str, status: int) -> None:
    answer = app.http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_built_in_voice_needs_its_model(tmp_path: Path) -> None:
    app = App(make_config(tmp_path, models=[*MODELS, CUSTOM_VOICE]))
    assert app.http.post(SYNTHESIZE, json={**SPOKEN, "voice": "vivian"}).headers["x-model"] == "custom"
    answer = app.http.post(SYNTHESIZE, json={**SPOKEN, "voice": "vivian", "model": "base-small-bf16"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
