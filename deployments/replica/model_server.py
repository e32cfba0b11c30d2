"""The replica: one engine, spoken to through deployment handles."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

import numpy as np

from deployments import memory_budget
from deployments.config import MIB, AppConfig, ModelConfig
from deployments.contract import ModelReport, Presence, Repeat, ServerEvent
from deployments.errors import raise_for_failure
from deployments.machine import read_node
from deployments.replica import memory_limit
from deployments.replica.joining import Joining
from deployments.replica.reading import Reading
from models import (
    AudioChunk,
    EngineClosedError,
    EngineInfo,
    Finished,
    OutOfMemoryError,
    RequestTooLargeError,
    Samples,
    SpeechEngine,
    SynthesisRequest,
    VoicePrompt,
    load_engine,
)
from models.errors import is_out_of_memory
from voices import Conditioner, VoiceLibrary

A_DAY = 86_400.0

EngineFactory = Callable[[AppConfig, ModelConfig], SpeechEngine]


def load_configured_engine(config: AppConfig, model: ModelConfig) -> SpeechEngine:
    """The real engine; tests inject another factory. Raises MemoryBudgetError before anything is loaded."""
    memory_budget.preflight(config, model)
    engine = load_engine(
        config.source(model),
        precision=model.precision,
        threads=model.threads or read_node().threads,  # never OpenMP's default: Ray sets it to num_cpus
        slots=model.slots,
        max_waiting=model.max_waiting,
        max_positions=model.max_positions,
        max_frames=model.max_frames,
    )
    _trim_cache(config.packed_cache_mb)
    return engine


def _trim_cache(limit_mb: int) -> None:
    """Make room on the disk once this model has what it needs. What others used of late they may just be starting
    with."""
    from models.checkpoint import trim  # needs torch, which ingresses do without

    trim(limit_mb * MIB, spared_s=A_DAY)


class ModelServer:
    """One model. Ray makes one of these in each replica's process.

    Errors are those of `SpeechEngine`. Cancelling a call, or leaving a stream early, frees the engine's slot.
    """

    def __init__(
        self, config: AppConfig, model: ModelConfig, engine_factory: EngineFactory = load_configured_engine
    ) -> None:
        self.adopt(config)
        self._engine = engine_factory(config, model)
        self._joining = Joining(lambda request: Reading(self._engine, request, self._max_passage_characters))
        info = self._engine.info
        self._conditioner = Conditioner(info.fingerprint, info.languages, self._engine.encode_voice)
        self._memory_limit = memory_limit.MemoryLimit(config.budget_bytes(model), self._engine.memory_report)

    def adopt(self, config: AppConfig) -> None:
        """What may change while the model stays loaded."""
        self._library = VoiceLibrary(config.voices_directory)
        self._max_passage_characters = config.max_passage_characters

    async def speak(self, request: SynthesisRequest, repeat: Repeat | None = None) -> AsyncGenerator[ServerEvent]:
        """All that happens to a request, which may be one that comes again: Accepted, AudioChunks of at most 480 ms,
        Finished."""
        await asyncio.to_thread(self._engine.prepare, request)  # all of a long text, before its first passage is heard
        async with aclosing(self._joining.events(request, repeat)) as events:
            async for event in events:
                yield event

    async def stream(self, request: SynthesisRequest, voice: str | None = None) -> AsyncGenerator[Samples]:
        """Speak: float32 [samples] pieces of at most 480 ms. `voice` names one of the library.

        Raises GenerationError, EngineClosedError or DeadlinePassedError when the utterance breaks off.
        """
        async with aclosing(self.speak(await self._voiced(request, voice))) as events:
            async for event in events:
                if isinstance(event, AudioChunk):
                    yield event.samples
                elif isinstance(event, Finished):
                    raise_for_failure(event)

    async def synthesize(self, request: SynthesisRequest, voice: str | None = None) -> Samples:
        """Speak to the end: float32 [samples]. Raises as `stream` does."""
        pieces = [samples async for samples in self.stream(replace(request, whole=True), voice)]
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)

    async def encode_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        """What this Base model needs to speak like `samples`; `text` None gives an x-vector clone."""
        try:
            return await asyncio.to_thread(self._engine.encode_voice, samples, sample_rate, text)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            status = self._engine.status()
            alone = status.slots_used == 0 and status.waiting == 0
            kind = RequestTooLargeError if alone else OutOfMemoryError
            raise kind("there was no memory left to encode the reference audio") from error

    async def presence(self) -> Presence:
        """Whoever can ask the replica itself finds it running."""
        return "running"

    async def info(self) -> EngineInfo:
        """What is loaded."""
        return self._engine.info

    async def report(self) -> ModelReport:
        """What it is doing and what it costs."""
        return ModelReport(
            info=self._engine.info,
            status=self._engine.status(),
            healthy=self._engine.healthy(),
            resident_bytes=memory_limit.resident_bytes(),
            peak_bytes=memory_limit.peak_bytes(),
        )

    def check_health(self) -> None:
        """Ray calls this every few seconds and replaces a replica that raises."""
        self._memory_limit.renew()
        if not self._engine.healthy():
            raise EngineClosedError("the engine thread is dead or stuck, or the weights were written over")

    def close(self) -> None:
        """Answer everybody and release the engine."""
        self._engine.close()

    def __del__(self) -> None:  # Ray's hook: called when a replica has drained
        if hasattr(self, "_engine"):
            self._engine.close()

    async def _voiced(self, request: SynthesisRequest, name: str | None) -> SynthesisRequest:
        if name is None:
            return request
        voice = self._library.get(name)
        return await asyncio.to_thread(self._conditioner.apply, request, voice)
