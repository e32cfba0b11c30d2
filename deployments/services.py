"""What the routes call: built once for each app, found through the request."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from deployments.config import AppConfig
from deployments.keys import KeyRing
from deployments.metrics import Metrics
from deployments.model_client import ModelClient
from deployments.router import Router
from deployments.speech_service import SpeechService
from deployments.status import StatusService
from deployments.voice_service import VoiceService
from voices import VoiceLibrary


@dataclass(frozen=True, slots=True)
class Services:
    """One of each."""

    router: Router
    voices: VoiceService
    speech: SpeechService
    status: StatusService
    metrics: Metrics
    keys: KeyRing
    started_at: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, config: AppConfig, clients: Mapping[str, ModelClient]) -> "Services":
        """`clients` by model id."""
        router = Router(config, clients)
        voices = VoiceService(config, router, VoiceLibrary(config.voices_directory))
        speech, keys = SpeechService(config, router, voices), KeyRing(config)
        return cls(router, voices, speech, StatusService(config, router, keys), Metrics(), keys)


def _services(request: Request) -> Services:
    return request.app.state.services


InjectedServices = Annotated[Services, Depends(_services)]
