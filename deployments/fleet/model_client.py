"""The way from the ingress to a model, through Ray."""

from collections.abc import AsyncGenerator
from contextlib import contextmanager
from typing import Any, cast

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deployments.contract import ModelReport, Presence, Repeat, ServerEvent
from deployments.errors import ModelUnavailableError
from deployments.fleet.presence import PresenceWatch
from models import EngineInfo, OverloadedError, Samples, SynthesisRequest, VoicePrompt


@contextmanager
def _without_ray():
    """Errors of the replica's code as they were raised there; a replica that is gone as ModelUnavailableError, a
    queue before it that is full as OverloadedError."""
    try:
        yield
    except RayTaskError as error:
        raise error.cause from None
    except BackPressureError as error:
        raise OverloadedError("more requests wait for the model than may", error.retry_after_s or 0.0) from error
    except (RayError, RayServeException) as error:
        raise ModelUnavailableError(f"the model is not available just now ({type(error).__name__})") from error


class ServeModelClient:
    """A model behind a Ray Serve deployment handle."""

    def __init__(self, handle: DeploymentHandle[Any], watch: PresenceWatch) -> None:
        self._handle = handle
        self._watch = watch

    async def presence(self) -> Presence:
        """Whether the model is there; unlike every other call this neither wakes it nor keeps it awake."""
        with _without_ray():
            return await self._watch.of(self._handle.deployment_name)

    async def speak(self, request: SynthesisRequest, repeat: Repeat | None = None) -> AsyncGenerator[ServerEvent]:
        """The events of an utterance. Leaving early cancels the request in the replica."""
        # `stream=True` makes Ray answer with the other kind of response than it declares.
        speak = self._handle.options(stream=True).speak
        events = cast(DeploymentResponseGenerator[ServerEvent], speak.remote(request, repeat))
        try:
            with _without_ray():
                async for event in events:
                    yield event
        finally:
            events.cancel()

    async def encode_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        with _without_ray():
            return await self._handle.encode_voice.remote(samples, sample_rate, text)

    async def info(self) -> EngineInfo:
        with _without_ray():
            return await self._handle.info.remote()

    async def report(self) -> ModelReport:
        """Never queued: a request that waits would wake a model that has just left."""
        with _without_ray():
            answers = await self._handle.broadcast("report").results_async(return_exceptions=True)
            reports = [answer for answer in answers if isinstance(answer, ModelReport)]  # two while one takes over
            if not reports:
                raise answers[0]
        return reports[0]
