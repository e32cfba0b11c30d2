"""An utterance that has begun, as the ingress reads it."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass

from deployments.config import ModelConfig
from deployments.contract import ModelClient, ServerEvent
from deployments.errors import DeadlinePassedError, answer_for, raise_for_failure
from deployments.speech.record import current_record, outcome_of
from models import (
    Accepted,
    AudioChunk,
    EngineInfo,
    Finished,
    GenerationError,
    InvalidRequestError,
    Samples,
    SpeechError,
    SynthesisRequest,
)

GRACE_S = 5.0  # the engine keeps the deadline; this much later the ingress stops waiting for it to say so


@dataclass(frozen=True, slots=True)
class Route:
    """A model that was chosen and is loaded."""

    config: ModelConfig
    client: ModelClient
    info: EngineInfo


class Speech:
    """Iterate for the samples; close it in any case, so that an engine never speaks to nobody."""

    def __init__(
        self, route: Route, events: AsyncGenerator[ServerEvent], timeout_s: float | None, voice: str | None
    ) -> None:
        self.model_id = route.config.id
        self.voice = voice  # its id; None where the request itself describes or brings it
        self.sample_rate = route.info.sample_rate
        self.accepted = Accepted(seed=0)  # known once the engine has said so
        self.finished: Finished | None = None
        self.seconds = 0.0  # of audio so far
        self._events = events
        self._first: AudioChunk | None = None
        self._failure: SpeechError | None = None
        self._began = time.monotonic()
        self._give_up_at = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s + GRACE_S

    @property
    def real_time_factor(self) -> float:
        """Wall time so far over audio so far."""
        return (time.monotonic() - self._began) / self.seconds if self.seconds else 0.0

    async def begin(self) -> None:
        """Wait for the first samples. Raises whatever keeps them from coming: no headers have gone out yet."""
        accepted = await self._next_event()
        assert isinstance(accepted, Accepted), "a model server first says that it has accepted"
        self.accepted = accepted
        self._first = await self._next_chunk()

    async def __aiter__(self) -> AsyncIterator[Samples]:
        """float32 [samples] pieces. Raises GenerationError, EngineClosedError, DeadlinePassedError or
        ModelUnavailableError when the utterance breaks off: whoever reads must not take it for the end."""
        chunk = self._first
        while chunk is not None:
            self.seconds += len(chunk.samples) / self.sample_rate
            yield chunk.samples
            chunk = await self._next_chunk()

    async def aclose(self) -> None:
        """Stop speaking if it has not ended."""
        self._tell_record()
        await self._events.aclose()

    def _tell_record(self) -> None:
        """Note how it went with the request that asked for it."""
        if (record := current_record.get()) is None:
            return
        record.audio_s = self.seconds
        if self.finished is not None:
            record.outcome = self.finished.reason
            record.queue_s = self.finished.queue_s
            record.rtf = self.real_time_factor or None
        if self._failure is not None:
            record.outcome = outcome_of(answer_for(self._failure).status)
            record.error = type(self._failure).__name__

    async def _next_chunk(self) -> AudioChunk | None:
        """None after the proper end of the utterance."""
        try:
            event = await self._next_event()
            if isinstance(event, AudioChunk):
                return event
            assert isinstance(event, Finished), "after Accepted only chunks and the end come"
            self.finished = event
            raise_for_failure(event)
        except SpeechError as error:
            self._failure = error
            raise
        return None

    async def _next_event(self) -> ServerEvent:
        try:
            async with asyncio.timeout_at(self._give_up_at):
                return await anext(self._events)
        except TimeoutError:
            raise DeadlinePassedError("the deadline passed and the model did not answer") from None
        except StopAsyncIteration:
            raise GenerationError("the utterance ended without a word about how") from None


async def open_speech(route: Route, request: SynthesisRequest, voice: str | None = None) -> Speech:
    """Begin to speak, with the voice of the id `voice` if it is one of the library: look at the first chunk while an
    error can still become a status.

    Raises InvalidRequestError for what the model cannot do, and as `Speech` does.
    """
    check_language(request, route.info.languages)
    record = current_record.get()
    if record is not None:
        record.engine_id = request.request_id
    events = route.client.speak(request, None if record is None else record.repeat)
    speech = Speech(route, events, request.timeout_s, voice)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(speech.aclose)
        await speech.begin()
        undo.pop_all()
    return speech


def check_language(request: SynthesisRequest, languages: Collection[str]) -> None:
    """Raises InvalidRequestError for a language that is not among the model's."""
    if request.language not in {"auto", *languages}:
        known = ", ".join(sorted({"auto", *languages}))
        raise InvalidRequestError("language", f"{request.language!r} is not spoken by this model; it speaks {known}")
