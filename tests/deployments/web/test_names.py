"""Names of voices, and what needs no model, without waking one."""

import base64
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from deployments.config import AppConfig
from deployments.contract import Presence
from deployments.errors import ModelUnavailableError
from deployments.replica.model_server import ModelServer
from deployments.web.app import create_app
from models import EngineInfo
from tests.deployments.fake_engine import FakeEngine, make_fake_engine
from tests.deployments.helpers import CUSTOM_VOICE, MODELS, make_clip, make_config

VOICES = "/api/v1/tts/voices"
SYNTHESIZE = "/api/v1/tts/synthesize"
SPEECH = "/v1/audio/speech"
CLIP = base64.b64encode(make_clip()).decode()


class Sleeper(ModelServer):
    """A model that is cold until it is asked something, and counts how often it was woken; `broken` ones never load."""

    woken = 0
    broken = False

    async def presence(self) -> Presence:
        return "running" if self.woken else "cold"

    async def info(self) -> EngineInfo:
        if self.broken:
            raise ModelUnavailableError("it does not load")
        self.woken += 1
        return await super().info()


class Sleepers:
    """The app over models that all sleep."""

    def __init__(self, config: AppConfig) -> None:
        self.models = {model.id: Sleeper(config, model, make_fake_engine) for model in config.models}
        self.http = TestClient(create_app(config, self.models), client=("127.0.0.1", 50000))

    @property
    def woken(self) -> list[str]:
        return [name for name, model in self.models.items() if model.woken]


@pytest.fixture
def sleepers(tmp_path: Path) -> Sleepers:
    return Sleepers(make_config(tmp_path / "voices", models=[CUSTOM_VOICE, *MODELS]))


def test_looking_wakes_nobody(sleepers: Sleepers) -> None:
    listed = {voice["name"]: voice["kind"] for voice in sleepers.http.get(VOICES).json()["voices"]}
    assert listed["vivian"] == "builtin"
    assert sleepers.http.get(f"{VOICES}/Vivian").json()["kind"] == "builtin"
    assert sleepers.http.get(f"{VOICES}/nobody").status_code == 404
    assert "ryan" in sleepers.http.get("/v1/audio/voices?legacy=true").json()["voices"]
    assert sleepers.woken == []


def test_a_speaker_wakes_the_model_that_has_it(sleepers: Sleepers) -> None:
    assert sleepers.http.post(SYNTHESIZE, json={"text": "Hi.", "voice": "Ryan"}).headers["x-model"] == "custom"
    assert sleepers.woken == ["custom"]


def test_stock_names_need_no_model_with_speakers(sleepers: Sleepers) -> None:
    sleepers.models["custom"].broken = True
    answer = sleepers.http.post(SPEECH, json={"model": "tts-1", "voice": "alloy", "input": "Hi."})
    assert (answer.status_code, answer.headers["x-voice"]) == (200, "narrator_cloned")
    assert sleepers.http.post(SYNTHESIZE, json={"text": "Hi.", "voice": "nobody"}).status_code == 404
    assert sleepers.woken == ["base-small-bf16"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (SYNTHESIZE, {"text": "Hi.", "voice": "narrator_cloned", "language": "klingon"}, "language"),
        (SYNTHESIZE, {"text": "Hi.", "voice": "vivian", "language": "klingon"}, "language"),
        ("/api/v1/tts/design", {"text": "Hi.", "description": "old", "language": "klingon"}, "language"),
        (SPEECH, {"model": "tts-1", "input": "Hi.", "voice": "alloy", "instructions": "Sing!"}, "instructions"),
        (SPEECH, {"model": "tts-1", "input": "Hi.", "ref_audio": "UklGRg==", "ref_text": "Hi."}, "ref_audio"),
        ("/api/v1/tts/clone", {"voice_name": "a/b", "reference_audio": CLIP}, "voice_name"),
        ("/api/v1/tts/clone", {"voice_name": "me", "reference_audio": "UklGRg=="}, "reference_audio"),
        ("/v1/audio/voices", {"name": "narrator_cloned", "wav_b64": CLIP}, None),
        ("/v1/audio/voices", {"name": "me", "wav_b64": "UklGRg=="}, "wav_b64"),
    ],
)
def test_what_needs_no_model_is_refused_without_one(
    sleepers: Sleepers, path: str, body: dict[str, Any], field: str | None
) -> None:
    answer = sleepers.http.post(path, json=body)
    assert answer.status_code == (409 if field is None else 400), answer.text
    assert answer.json()["error"]["param"] == field
    assert sleepers.woken == []


def test_speakers_of_weights_that_are_not_here_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows them before the first load, and that is for whoever names the model."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    sleepers = Sleepers(make_config(tmp_path / "voices", models=[CUSTOM_VOICE, *MODELS], weights="hub"))
    spoken = {"text": "Hi.", "voice": "vivian"}
    assert sleepers.http.post(SYNTHESIZE, json=spoken).status_code == 404
    assert sleepers.http.get(f"{VOICES}/vivian").status_code == 404
    assert sleepers.woken == []
    assert sleepers.http.post(SYNTHESIZE, json={**spoken, "model": "base-small-bf16"}).status_code == 404
    assert sleepers.http.post(SYNTHESIZE, json={**spoken, "model": "custom"}).status_code == 200
    assert sleepers.woken == ["custom"]
    assert sleepers.http.get(f"{VOICES}/vivian").json()["kind"] == "builtin"
    assert sleepers.http.post(SYNTHESIZE, json=spoken).status_code == 200
    assert sleepers.http.post(SYNTHESIZE, json={**spoken, "voice": "nobody", "model": "custom"}).status_code == 404


def test_a_voice_of_one_language_speaks_it_where_the_request_leaves_it_open(tmp_path: Path) -> None:
    config = make_config(tmp_path / "voices")
    sleepers = Sleepers(config)
    for name, language in (("anna", "German"), ("berta", "Klingon"), ("clara", None)):
        form = {"voice_name": name, **({"language": language} if language else {})}
        answer = sleepers.http.post("/api/v1/tts/clone", data=form, files={"reference_audio": make_clip()})
        assert answer.status_code == 201
    spoken = [("anna", "auto"), ("anna", "english"), ("berta", "auto"), ("clara", "auto"), ("narrator_cloned", "auto")]
    for voice, language in spoken:
        body = {"text": "Hi.", "voice": voice, "language": language}
        assert sleepers.http.post(SYNTHESIZE, json=body).status_code == 200
    engine = sleepers.models["base-small-bf16"]._engine  # pyright: ignore[reportPrivateUsage]
    assert isinstance(engine, FakeEngine)
    assert [request.language for request in engine.requests] == ["german", "english", "auto", "auto", "auto"]


def test_names_are_those_that_the_loaded_model_says(sleepers: Sleepers) -> None:
    """The configuration is asked until then: the fake engine knows one speaker, the checkpoint nine."""
    before = {voice["name"] for voice in sleepers.http.get(VOICES).json()["voices"] if voice["kind"] == "builtin"}
    sleepers.http.post(SYNTHESIZE, json={"text": "Hi.", "voice": "vivian"})
    after = {voice["name"] for voice in sleepers.http.get(VOICES).json()["voices"] if voice["kind"] == "builtin"}
    assert len(before) == 9
    assert after == {"Vivian"}
