"""Speaking without HTTP: as a socket, a job or a deployment handle would."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from deployments.config import AppConfig
from deployments.errors import DeadlinePassedError
from deployments.replica import ModelServer
from deployments.speech import Conductor, Router, Speech, VoiceService
from models import InvalidRequestError, Samples, SynthesisRequest
from tests.deployments.fake_engine import DEFAULT_FRAMES, FakeEngine, frame
from tests.deployments.helpers import make_clip, make_config
from voices import VoiceLibrary

SPOKEN = [frame(index) for index in range(DEFAULT_FRAMES)]
Begin = Callable[[Conductor], Awaitable[Speech]]


def conductor_over(config: AppConfig, engines: dict[str, FakeEngine]) -> Conductor:
    servers = {model.id: ModelServer(config, model, lambda _, model: engines[model.id]) for model in config.models}
    router = Router(config, servers)
    return Conductor(config, router, VoiceService(config, router, VoiceLibrary(config.voices_directory)))


def spoken(tmp_path: Path, begin: Begin) -> tuple[Speech, Samples, dict[str, FakeEngine]]:
    """What comes of a speech that is read to its end."""
    config = make_config(tmp_path / "voices")
    engines = {model.id: FakeEngine(model.kind, model.precision) for model in config.models}

    async def read() -> tuple[Speech, Samples]:
        speech = await begin(conductor_over(config, engines))
        async with aclosing(speech):
            return speech, np.concatenate([samples async for samples in speech])

    return *asyncio.run(read()), engines


def test_a_voice_of_the_library_speaks(tmp_path: Path) -> None:
    request = SynthesisRequest("Hello.")
    speech, samples, engines = spoken(tmp_path, lambda desk: desk.in_voice(request, "narrator_cloned", None))
    assert np.array_equal(samples, np.concatenate(SPOKEN))
    assert (speech.voice, speech.model_id) == ("narrator_cloned", "base-small-bf16")
    assert engines["base-small-bf16"].requests[0].voice is not None


def test_a_voice_that_is_described_speaks(tmp_path: Path) -> None:
    request = SynthesisRequest("Hello.", description="Calm.")
    speech, samples, engines = spoken(tmp_path, lambda desk: desk.described(request, None))
    assert np.array_equal(samples, np.concatenate(SPOKEN))
    assert (speech.voice, speech.model_id) == (None, "voice-design-nf4")
    assert engines["voice-design-nf4"].requests[0].description == "Calm."


def test_the_voice_of_a_clip_speaks(tmp_path: Path) -> None:
    clip = base64.b64encode(make_clip(2.0)).decode()
    request = SynthesisRequest("Hello.")
    speech, samples, engines = spoken(tmp_path, lambda desk: desk.like_clip(request, clip, "A tone.", None))
    assert np.array_equal(samples, np.concatenate(SPOKEN))
    assert (speech.voice, speech.model_id) == (None, "base-small-bf16")
    assert [text for _, text in engines["base-small-bf16"].encoded] == ["A tone."]


def no_clip(desk: Conductor) -> Awaitable[Speech]:
    return desk.like_clip(SynthesisRequest("Hello."), "?", None, None)


def another_kind(desk: Conductor) -> Awaitable[Speech]:
    return desk.described(SynthesisRequest("Hello.", description="Calm."), None, "base")


def another_language(desk: Conductor) -> Awaitable[Speech]:
    return desk.in_voice(SynthesisRequest("Hello.", language="latin"), "narrator_cloned", None)


def too_late(desk: Conductor) -> Awaitable[Speech]:
    return desk.in_voice(SynthesisRequest("Hello.", timeout_s=1e-9), "narrator_cloned", None)


@pytest.mark.parametrize(
    ("begin", "error", "field"),
    [
        (no_clip, InvalidRequestError, "reference_audio"),
        (another_kind, InvalidRequestError, "kind"),
        (another_language, InvalidRequestError, "language"),
        (too_late, DeadlinePassedError, None),
    ],
)
def test_what_cannot_be_spoken_is_an_error_of_the_tree(
    tmp_path: Path, begin: Begin, error: type[Exception], field: str | None
) -> None:
    with pytest.raises(error) as refusal:
        spoken(tmp_path, begin)
    assert getattr(refusal.value, "field", None) == field
