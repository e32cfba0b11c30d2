"""What the routes call: built once for each app, found through the request."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from deployments.config import AppConfig
from deployments.contract import ModelClient
from deployments.keys import KeyRing
from deployments.speech import Conductor, Router, VoiceService
from deployments.web.metrics import Metrics
from deployments.web.speaking import SpeechService
from deployments.web.status import StatusService
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
    def of(cls, config: AppConfig, clients: Mapping[str, ModelClient], former: "Services | None" = None) -> "Services":
        """`clients` by model id. Counters go on from those of the `former`, whose keys are exchanged."""
        router = Router(config, clients)
        voices = VoiceService(config, router, VoiceLibrary(config.voices_directory))
        metrics, keys = (Metrics(), KeyRing(config)) if former is None else (former.metrics, former.keys)
        keys.adopt(config)
        speech, status = SpeechService(config, Conductor(config, router, voices)), StatusService(config, router, keys)
        return cls(router, voices, speech, status, metrics, keys)


def _services(request: Request) -> Services:
    return request.app.state.services


InjectedServices = Annotated[Services, Depends(_services)]
