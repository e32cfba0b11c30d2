"""Configurations, clips and apps that several test files use."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import soundfile
from starlette.testclient import TestClient

from deployments.config import AppConfig
from deployments.replica.model_server import ModelServer
from deployments.web.app import create_app
from tests.deployments.fake_engine import FakeEngine

Answer = TypeVar("Answer")

MODELS = [
    {"id": "base-small-bf16", "checkpoint": "Qwen3-TTS-12Hz-0.6B-Base", "precision": "bf16"},
    {"id": "base-small-fp32", "checkpoint": "Qwen3-TTS-12Hz-0.6B-Base", "precision": "fp32"},
    {"id": "voice-design-nf4", "checkpoint": "Qwen3-TTS-12Hz-1.7B-VoiceDesign", "precision": "nf4"},
]
CUSTOM_VOICE = {"id": "custom", "checkpoint": "Qwen3-TTS-12Hz-0.6B-CustomVoice", "precision": "bf16"}


def make_config(voices: Path, models: Sequence[Mapping[str, object]] | None = None, **settings: Any) -> AppConfig:
    """A configuration as YAML would give it."""
    budgeted = [{"memory_budget_mb": 4000, **model} for model in models or MODELS]
    beside = voices.parent
    places = {"voices": str(voices), "keys_file": str(beside / "keys"), "logs": str(beside / "logs")}
    return AppConfig.model_validate({"models": budgeted, **places, **settings})


class App:
    """The HTTP app over fake engines, without Ray."""

    def __init__(self, config: AppConfig) -> None:
        self.config = config
        self.engines = {model.id: FakeEngine(model.kind, model.precision) for model in config.models}
        self.servers = {
            model.id: ModelServer(config, model, lambda _, model: self.engines[model.id]) for model in config.models
        }
        self.http = self.client_at("127.0.0.1")
        self.broken = TestClient(
            create_app(config, self.servers), client=("127.0.0.1", 50000), raise_server_exceptions=False
        )

    def client_at(self, address: str) -> TestClient:
        """A client elsewhere, with an app of its own over the same models."""
        return TestClient(create_app(self.config, self.servers), client=(address, 50000))

    def close(self) -> None:
        for server in self.servers.values():
            server.close()


def make_clip(seconds: float = 2.0, rate: int = 16_000, audio_format: str = "WAV") -> bytes:
    """A tone that a voice can be made of."""
    time_axis = np.arange(int(seconds * rate)) / rate
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.3 * np.sin(2 * np.pi * 220 * time_axis), rate, format=audio_format)
    return buffer.getvalue()


def refused_at_once(
    refused: Callable[[], Answer], beside: Callable[[], object], seconds: float = 0.1, times: int = 5
) -> Answer:
    """The answer, for which nothing may be waited: mostly it takes no longer than what is asked `beside`, which costs
    next to nothing, and `seconds`. A machine that is busy with something else makes both slow."""
    longer: list[float] = []
    while True:
        began = time.perf_counter()
        beside()
        between = time.perf_counter()
        answer = refused()
        longer.append(time.perf_counter() - between - (between - began))
        if len(longer) == times:
            assert median(longer) < seconds, f"it takes {median(longer):.3f} s longer"
            return answer


def tree(directory: Path) -> dict[str, bytes]:
    """Every file under a directory: what must not change when a request is refused."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
