"""Voices through /api/v1 and /v1: made, listed, spoken with, deleted."""

import base64
from typing import Any

import pytest

from tests.deployments.helpers import App, make_clip, tree

VOICES = "/api/v1/tts/voices"


def test_presets_are_listed_with_all_their_fields(app: App) -> None:
    voices = {voice["name"]: voice for voice in app.http.get(VOICES).json()["voices"]}
    assert set(voices) == {"narrator_cloned", "narrator_designed"}
    assert voices["narrator_cloned"]["kind"] == "cloned"
    assert voices["narrator_cloned"]["mode"] == "icl"
    assert voices["narrator_designed"]["description"] == "A clear, professional narrator voice"
    assert set(voices["narrator_cloned"]) == {
        "id",
        "name",
        "kind",
        "description",
        "languages",
        "created_at",
        "mode",
        "warnings",
    }


@pytest.mark.parametrize("audio_format", ["WAV", "FLAC", "OGG"])
def test_a_form_makes_a_voice_that_speaks(app: App, audio_format: str) -> None:
    form = {"voice_name": "Anna Müller", "reference_text": "A tone.", "language": "German", "description": "calm"}
    clip = make_clip(audio_format=audio_format)
    answer = app.http.post("/api/v1/tts/clone", data=form, files={"reference_audio": ("clip", clip)})
    assert answer.status_code == 201
    voice = answer.json()
    assert (voice["name"], voice["kind"], voice["mode"]) == ("Anna Müller", "cloned", "icl")
    assert (voice["languages"], voice["description"]) == (["german"], "calm")
    for name in ("anna müller", voice["id"]):
        spoken = app.http.post("/api/v1/tts/synthesize", json={"text": "Hello.", "voice": name})
        assert (spoken.status_code, spoken.headers["x-voice"]) == (200, voice["id"])
    assert len(app.engines["base-small-bf16"].encoded) == 1


def test_json_makes_a_voice_and_without_a_text_it_is_x_vector_only(app: App) -> None:
    body = {"voice_name": "me", "reference_audio": base64.b64encode(make_clip()).decode()}
    assert app.http.post("/api/v1/tts/clone", json=body).json()["mode"] == "x_vector"
    assert app.http.post("/api/v1/tts/clone", json=body).status_code == 409


def test_a_voice_is_deleted_by_name_and_presets_are_not(app: App) -> None:
    body = {"name": "me", "wav_b64": base64.b64encode(make_clip()).decode(), "consent": True}
    for path in ("/v1/audio/voices", VOICES):
        assert app.http.post("/v1/audio/voices", json=body).status_code == 201
        assert app.http.get(f"{VOICES}/ME").json()["name"] == "me"
        assert app.http.delete(f"{path}/Me").json() == {"id": "me", "deleted": True}
    assert app.http.delete(f"{VOICES}/me").status_code == 404
    assert app.http.get(f"{VOICES}/me").status_code == 404
    assert app.http.delete("/v1/audio/voices/narrator_cloned").status_code == 403
    assert app.http.get(f"{VOICES}/narrator_cloned").status_code == 200


def test_a_broken_voice_is_listed_as_broken_and_in_nobodys_way(app: App) -> None:
    folder = app.config.voices_directory / "ruin"
    folder.mkdir()
    (folder / "voice.json").write_text("{")
    listed = {voice["id"]: voice["kind"] for voice in app.http.get(VOICES).json()["voices"]}
    assert listed == {"narrator_cloned": "cloned", "narrator_designed": "designed", "ruin": "broken"}
    assert app.http.post("/api/v1/tts/synthesize", json={"text": "Hello.", "voice": "ruin"}).status_code == 409
    assert app.http.delete(f"{VOICES}/ruin").status_code == 200
    assert not folder.exists()


@pytest.mark.parametrize("consent", [False, "no", " False", "0"])
def test_without_consent_no_voice_is_made(app: App, consent: bool | str) -> None:
    clip = make_clip()
    answers = [
        app.http.post(
            "/v1/audio/voices", json={"name": "me", "wav_b64": base64.b64encode(clip).decode(), "consent": consent}
        ),
        app.http.post("/v1/audio/voices", data={"name": "me", "consent": str(consent)}, files={"audio_sample": clip}),
    ]
    assert [(answer.status_code, answer.json()["error"]["param"]) for answer in answers] == [(400, "consent")] * 2
    assert app.http.get(f"{VOICES}/me").status_code == 404


@pytest.mark.parametrize(
    ("form", "files", "field"),
    [
        ({"voice_name": "me"}, {"other": b"x"}, "other"),
        ({"voice_name": "me"}, {"reference_audio": (None, "text")}, "reference_audio"),
        ({"voice_name": "me"}, {"reference_audio": b"RIFF"}, "reference_audio"),
        ({}, {"reference_audio": make_clip()}, "voice_name"),
        ({"voice_name": "me", "pitch": "3"}, {"reference_audio": make_clip()}, "pitch"),
    ],
)
def test_a_form_that_is_wrong_names_the_field(
    app: App, form: dict[str, str], files: dict[str, Any], field: str
) -> None:
    before = tree(app.config.voices_directory)
    answer = app.http.post("/api/v1/tts/clone", data=form, files=files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert tree(app.config.voices_directory) == before


@pytest.mark.parametrize(("text", "warned"), [("A tone.", False), ("word " * 200, True), (None, False)])
def test_a_transcript_that_cannot_be_that_of_its_clip_is_warned_of(app: App, text: str | None, warned: bool) -> None:
    clip = base64.b64encode(make_clip()).decode()
    native = {"voice_name": "anna", "reference_audio": clip, "reference_text": text}
    openai = {"name": "berta", "wav_b64": clip, "ref_text": text}
    for path, body in (("/api/v1/tts/clone", native), ("/v1/audio/voices", openai)):
        answer = app.http.post(path, json=body)
        assert answer.status_code == 201
        warnings = answer.json()["warnings"]
        assert [("transcript is too long" in warning) for warning in warnings] == [True] * warned
    assert app.http.get(f"{VOICES}/anna").json()["warnings"] == warnings
    assert app.http.get(f"{VOICES}/narrator_cloned").json()["warnings"] == []
