"""The engine: one thread owns all model state and runs the loop; callers talk to it through an inbox."""

import queue
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.engine_api import EngineInfo, EngineStatus, Listener, MemoryReport
from models.engine_options import EngineOptions
from models.errors import EngineClosedError, GenerationError, InvalidRequestError
from models.loop import Loop
from models.meter import Meter
from models.model import Model
from models.sequence import Sequence
from models.types import (
    Codes,
    Finished,
    FinishReason,
    Samples,
    SpeechEvent,
    SpeechStream,
    SynthesisRequest,
    VoicePrompt,
)


class Engine:
    """Speaks with one model. `models.engine_api.SpeechEngine` says what the public methods promise."""

    STUCK_AFTER_S = 120.0  # a loop with work that has not come round for this long is stuck

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self._model = model
        self._options = options
        architecture = model.architecture
        self._meter = Meter(1.0 / architecture.frame_rate)
        self._loop = Loop(model.runner, options, architecture.tokens.eos, self._meter)
        self._inbox: queue.SimpleQueue[Sequence | str | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._closing_lock = threading.Lock()
        self._came_round_at = time.monotonic()
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._thread.start()

    @classmethod
    def load(cls, checkpoint: str | Path, precision: str, options: EngineOptions) -> "Engine":
        """Open a checkpoint, build the model, start the thread."""
        return cls(Model.load(checkpoint, precision, options), options)

    @property
    def info(self) -> EngineInfo:
        return self._model.info

    def submit(self, request: SynthesisRequest, listener: Listener) -> int:
        return self._enqueue(self._sequence(request, listener)).seed

    def abort(self, request_id: str) -> None:
        self._inbox.put(request_id)

    def stream(self, request: SynthesisRequest) -> SpeechStream:
        events: queue.SimpleQueue[SpeechEvent] = queue.SimpleQueue()
        seed = self.submit(request, events.put)
        return SpeechStream(self._events(request.request_id, events), request.request_id, seed)

    def synthesize(self, request: SynthesisRequest) -> Samples:
        stream = self.stream(replace(request, whole=True))
        chunks = list(stream)
        assert stream.finished is not None
        _raise_if_failed(stream.finished)
        return np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.float32)

    def generate_codes(self, request: SynthesisRequest) -> Codes:
        events: queue.SimpleQueue[SpeechEvent] = queue.SimpleQueue()
        sequence = self._sequence(request, events.put)
        sequence.wants_audio = False
        self._enqueue(sequence)
        finished = events.get()
        assert isinstance(finished, Finished)
        _raise_if_failed(finished)
        return np.asarray(sequence.codes, dtype=np.int64).reshape(-1, self._model.architecture.code_groups)

    def encode_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        return self._model.encode_voice(samples, sample_rate, text)

    def status(self) -> EngineStatus:
        scheduler = self._loop.scheduler
        return self._meter.status(len(scheduler.admitted), len(scheduler.waiting) + self._inbox.qsize())

    def memory_report(self) -> MemoryReport:
        return self._model.memory_report()

    def healthy(self) -> bool:
        stuck = not self._loop.idle and time.monotonic() - self._came_round_at > self.STUCK_AFTER_S
        return self._thread.is_alive() and not stuck

    def close(self) -> None:
        with self._closing_lock:
            self._closing.set()
            self._inbox.put(None)
        self._thread.join()

    def _sequence(self, request: SynthesisRequest, listener: Listener) -> Sequence:
        """A checked sequence, ready to be queued."""
        self._model.builder.check(request)
        sampling = request.sampling or self._model.generation_defaults
        seed = secrets.randbits(64) if sampling.seed is None else sampling.seed
        return Sequence(request, listener, sampling, seed, self._max_frames(request))

    def _max_frames(self, request: SynthesisRequest) -> int:
        """The request's limit, or the engine's; raises InvalidRequestError when the positions do not suffice."""
        positions = self._options.max_positions
        prompt, text_tokens = self._model.builder.measure(request)
        room = max(0, positions - prompt)
        wanted = request.max_frames
        if wanted is not None and wanted > room:
            message = f"{wanted} frames after a prompt of {prompt} positions exceed the {positions} configured"
            raise InvalidRequestError("max_frames", message)
        needed = max(1, self._options.least_frames(text_tokens))
        if wanted is None and needed > room:
            message = f"is too long: {text_tokens} tokens take at least {needed} frames, there is room for {room}"
            raise InvalidRequestError("text", message)
        return min(self._options.max_frames, room) if wanted is None else wanted

    def _enqueue(self, sequence: Sequence) -> Sequence:
        with self._closing_lock:  # nothing may enter the inbox behind the last message the thread reads
            if self._closing.is_set() or not self._thread.is_alive():
                raise EngineClosedError("the engine is closed")
            self._inbox.put(sequence)
        return sequence

    def _events(self, request_id: str, events: "queue.SimpleQueue[SpeechEvent]") -> Iterator[SpeechEvent]:
        finished = False
        try:
            while not finished:
                event = events.get()
                finished = isinstance(event, Finished)
                yield event
        finally:
            if not finished:
                self.abort(request_id)

    @torch.inference_mode()
    def _serve(self) -> None:
        """The engine thread."""
        if self._options.threads is not None:
            torch.set_num_threads(self._options.threads)
        try:
            while not self._closing.is_set():
                self._read_inbox(wait=self._loop.idle)
                self._came_round_at = time.monotonic()
                self._loop.step()
                if self._loop.idle:
                    self._loop.scheduler.check_books()
        finally:
            with self._closing_lock:
                self._closing.set()
            self._read_inbox(wait=False)
            self._loop.abort_all("the engine was closed")

    def _read_inbox(self, wait: bool) -> None:
        try:
            message = self._inbox.get(block=wait)
            while True:
                if isinstance(message, Sequence):
                    self._loop.add(message)
                elif message is not None:
                    self._loop.abort(message)
                message = self._inbox.get_nowait()
        except queue.Empty:
            return


def _raise_if_failed(finished: Finished) -> None:
    if finished.reason in (FinishReason.ERROR, FinishReason.CANCELLED, FinishReason.DEADLINE):
        raise GenerationError(finished.error or f"ended as {finished.reason}")
