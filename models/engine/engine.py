"""The engine: one thread owns all model state and runs the loop; callers talk to it through an inbox."""

import math
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.engine.admission import Admission
from models.engine.ledger import Ledger
from models.engine.loop import Loop
from models.engine.meter import Meter
from models.engine.options import EngineOptions
from models.engine.pace import Pace
from models.engine.prefix_cache import PrefixCache
from models.engine.reports import describe, memory_report
from models.engine.runner import Runner
from models.engine.scheduler import Scheduler
from models.engine.sequence import Sequence
from models.engine_api import EngineInfo, EngineStatus, Listener, MemoryReport
from models.errors import (
    EngineClosedError,
    GenerationError,
    InvalidRequestError,
    OutOfMemoryError,
    RequestTooLargeError,
)
from models.events import Accepted, Finished, FinishReason, SpeechEvent, SpeechStream
from models.language import PromptBuilder
from models.loading import Model
from models.request import Codes, Priority, Samples, SynthesisRequest, VoicePrompt
from models.text import Layout, LayoutBuilder


class Engine:
    """Speaks with one model. `models.engine_api.SpeechEngine` says what the public methods promise."""

    STUCK_AFTER_S = 120.0  # a loop with work that has not come round for this long is stuck

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self._model = model
        self._options = options
        architecture = model.architecture
        self._info = describe(model, options)
        self._layouts = LayoutBuilder(architecture, model.checkpoint.text_tokenizer)
        self._prompts = PromptBuilder(architecture, model.talker, model.predictor)
        self._prefixes = PrefixCache(options.prefix_bytes)
        runner = Runner(model, self._prompts, self._prefixes, options.prefill_rows)
        pace = Pace(
            options.slots,
            1.0 / architecture.frame_rate,
            options.assumed_real_time_factor,
            options.assumed_frames_per_token,
        )
        self._meter = Meter(pace)
        self._admission = Admission(options.slots, options.max_waiting, pace)
        ledger = Ledger(architecture.tokens.eos, options)
        self._loop = Loop(Scheduler(options, pace), runner, ledger, self._meter, self._admission)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
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
        return self._info

    def prepare(self, request: SynthesisRequest) -> None:
        self._prompts.touch(self._layouts.build(request))

    def submit(self, request: SynthesisRequest, listener: Listener) -> Accepted:
        return self._enqueue(self._sequence(request, listener))

    def extend(self, request_id: str, timeout_s: float | None) -> None:
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        self._inbox.put(lambda: self._loop.extend(request_id, deadline))

    def abort(self, request_id: str) -> None:
        self._inbox.put(lambda: self._loop.abort(request_id))

    def stream(self, request: SynthesisRequest) -> SpeechStream:
        events: queue.SimpleQueue[SpeechEvent] = queue.SimpleQueue()
        accepted = self.submit(request, events.put)
        return SpeechStream(self._events(request.request_id, events), request.request_id, accepted.seed)

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
        if text is not None:
            self._layouts.check_transcript("reference_text", text)
        return self._model.encode_voice(samples, sample_rate, text)

    def status(self) -> EngineStatus:
        meter, admission = self._meter, self._admission
        interactive, batch = admission.waiting(Priority.INTERACTIVE), admission.waiting(Priority.BATCH)
        outcomes = dict(meter.outcomes)
        return EngineStatus(
            slots_used=len(self._loop.scheduler.admitted),
            waiting=interactive + batch,
            requests=sum(outcomes.values()),
            failures=sum(outcomes[reason] for reason in FinishReason if reason.failed),
            runaways=outcomes[FinishReason.RUNAWAY],
            audio_seconds=meter.audio_s,
            real_time_factor=meter.real_time_factor,
            waiting_batch=batch,
            outcomes=outcomes,
            rejected=admission.rejected,
            preempted=self._loop.scheduler.preempted,
            queue_wait_seconds=self._loop.scheduler.queue_wait_s,
            queued_audio_seconds=admission.queued_audio_s,
        )

    def memory_report(self) -> MemoryReport:
        return memory_report(self._model, self._prefixes)

    def healthy(self) -> bool:
        stuck = not self._loop.idle and time.monotonic() - self._came_round_at > self.STUCK_AFTER_S
        return self._thread.is_alive() and not stuck and self._model.intact()

    def close(self) -> None:
        with self._closing_lock:
            self._closing.set()
            self._inbox.put(lambda: None)  # so that the thread looks up
        self._thread.join()

    def _sequence(self, request: SynthesisRequest, listener: Listener) -> Sequence:
        """A checked sequence, ready to be queued."""
        layout = self._layouts.build(request)
        self._prompts.touch(layout)
        sampling = request.sampling.resolved(self._info.generation_defaults)
        seed = secrets.randbits(64) if request.sampling.seed is None else request.sampling.seed
        return Sequence(request, listener, layout, sampling, seed, self._max_frames(request, layout))

    def _max_frames(self, request: SynthesisRequest, layout: Layout) -> int:
        """The request's limit, or the engine's; raises InvalidRequestError when the positions do not suffice."""
        positions, prompt, text_tokens = self._options.max_positions, len(layout), len(layout.text)
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

    def _enqueue(self, sequence: Sequence) -> Accepted:
        with self._closing_lock:  # nothing may enter the inbox behind the last message the thread reads
            if self._closing.is_set() or not self._thread.is_alive():
                raise EngineClosedError("the engine is closed")
            accepted = self._admission.enter(sequence)
            self._inbox.put(lambda: self._loop.add(sequence))
        return accepted

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
                self._read_inbox(None if self._loop.idle else self._loop.rest_s)
                self._came_round_at = time.monotonic()
                self._loop.step()
                if self._loop.idle:
                    self._loop.scheduler.check_books()
        finally:
            with self._closing_lock:
                self._closing.set()
            self._read_inbox(0.0)
            self._loop.abort_all("the engine was closed")

    def _read_inbox(self, wait_s: float | None) -> None:
        """Do what callers asked for; wait for something to be asked for so long, or for ever."""
        try:
            act = self._inbox.get(timeout=wait_s)
            while True:
                act()
                act = self._inbox.get_nowait()
        except queue.Empty:
            return


def _raise_if_failed(finished: Finished) -> None:
    if finished.reason is FinishReason.MEMORY:
        raise OutOfMemoryError(finished.error)
    if finished.reason is FinishReason.TOO_LARGE:
        raise RequestTooLargeError(finished.error)
    if finished.reason in (FinishReason.ERROR, FinishReason.CANCELLED, FinishReason.DEADLINE):
        raise GenerationError(finished.error or f"ended as {finished.reason}")
