"""All that the ingress and a model's replica share: what one asks of the other, and what comes back."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

from models import Accepted, EngineInfo, EngineStatus, Samples, SpeechEvent, SynthesisRequest, VoicePrompt

ServerEvent = Accepted | SpeechEvent  # of one utterance: first Accepted, then AudioChunks, then Finished
Presence = Literal["cold", "loading", "running", "failed"]  # of a model's replica


@dataclass(frozen=True, slots=True)
class Repeat:
    """What the tries of one request have in common, of a client that sends it again when it is not answered."""

    client: bytes  # a digest of its key and of its Idempotency-Key
    named: bool  # by an Idempotency-Key: without one, two requests that are alike may well be two


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A moment in a replica's life, for /api/v1/status."""

    info: EngineInfo
    status: EngineStatus
    healthy: bool
    resident_bytes: int
    peak_bytes: int


class ModelClient(Protocol):
    """One model, wherever it runs: a model server has these methods, and so has the way to it through Ray."""

    def speak(self, request: SynthesisRequest, repeat: Repeat | None = None) -> AsyncGenerator[ServerEvent]: ...

    async def encode_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt: ...

    async def info(self) -> EngineInfo: ...

    async def report(self) -> ModelReport: ...

    async def presence(self) -> Presence: ...
