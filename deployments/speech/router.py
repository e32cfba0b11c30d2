"""Which model speaks a request."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deployments.config import AppConfig, ModelConfig
from deployments.contract import ModelClient
from deployments.errors import ModelNotFoundError, ModelUnavailableError
from deployments.speech.utterance import Route
from models import EngineInfo, InvalidRequestError, Kind
from models.catalog import SpokenNames, read_names

OPENAI_MODELS = frozenset({"tts-1", "tts-1-hd", "gpt-4o-mini-tts"})
HEARD_S = 2.0  # what a model said of itself is true for so long: no replica is replaced, with other weights, in less
_TASKS: dict[Kind, str] = {
    "base": "speak with a cloned voice",
    "voice_design": "design a voice",
    "custom_voice": "speak with a built-in speaker",
}


@dataclass(slots=True)
class Router:
    """The configured models in their order: where several can do a task, the first does it."""

    config: AppConfig
    clients: Mapping[str, ModelClient]  # by model id
    _heard: dict[str, tuple[float, EngineInfo]] = field(default_factory=dict)  # when, and what

    @property
    def models(self) -> Sequence[ModelConfig]:
        return self.config.models

    def find(self, model_id: str) -> ModelConfig:
        """The model with this id. Raises ModelNotFoundError."""
        for model in self.models:
            if model.id == model_id:
                return model
        raise ModelNotFoundError(f"no model is called {model_id!r}; configured are {self._listing()}")

    def find_leniently(self, name: str) -> ModelConfig | None:
        """As /v1 names models: an id or a checkpoint in any case. None for OpenAI's names: the choice is ours."""
        wanted = name.lower().removeprefix("qwen/")
        if wanted in OPENAI_MODELS:
            return None
        for model in self.models:
            if wanted in (model.id.lower(), model.checkpoint.lower()):
                return model
        raise ModelNotFoundError(f"no model is called {name!r}; configured are {self._listing()}")

    def choose(self, kind: Kind, named: ModelConfig | None) -> ModelConfig:
        """The model for a task. Raises InvalidRequestError when the one named, or every one, is of another kind."""
        if named is not None:
            if named.kind != kind:
                raise InvalidRequestError(
                    "model", f"{named.id} cannot {_TASKS[kind]}; configured are {self._listing()}"
                )
            return named
        for model in self.models:
            if model.kind == kind:
                return model
        raise InvalidRequestError("model", f"no configured model can {_TASKS[kind]}; configured are {self._listing()}")

    async def names(self, model: ModelConfig) -> SpokenNames | None:
        """The model's languages and speakers, for which nobody is woken or asked: from its checkpoint's configuration
        until it has said them itself. None while neither is here."""
        if model.id in self._heard:
            _, info = self._heard[model.id]
            return SpokenNames(info.languages, info.speakers)
        return await asyncio.to_thread(read_names, self.config.source(model))

    async def reach(self, model: ModelConfig, timeout_s: float) -> Route:
        """The model once it is loaded: a cold one is woken. Raises ModelUnavailableError when that takes longer than
        `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                return Route(model, self.clients[model.id], await self._info(model))
        except TimeoutError:
            raise ModelUnavailableError(f"{model.id} is still loading") from None

    async def _info(self, model: ModelConfig) -> EngineInfo:
        """What the engine said of itself just now. Whoever asks the model wakes it; a model that has left since it was
        heard is woken by the request itself."""
        heard_at, info = self._heard.get(model.id, (float("-inf"), None))
        if info is None or time.monotonic() - heard_at > HEARD_S:
            info = await self.clients[model.id].info()
            self._heard[model.id] = time.monotonic(), info
        return info

    def _listing(self) -> str:
        return ", ".join(f"{model.id} ({model.checkpoint})" for model in self.models)
