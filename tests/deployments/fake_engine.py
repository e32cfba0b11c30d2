"""An engine that keeps the promise of `models.engine_api.SpeechEngine` without computing: sines from a thread.

The text says what happens to a request: "[frames 3]", "[fail 2]" (after two frames), "[forever]", "[deadline]",
"[whole]" (one chunk at the end), "[stick]" (nothing any more, and ill), "[crash]" (an error outside the tree),
"[overloaded]" (refused), "[queued]" (third).
"""

import math
import re
import threading
import time
from collections.abc import Iterator

import numpy as np

from deployments.config import AppConfig, ModelConfig
from models import (
    Accepted,
    AudioChunk,
    Codes,
    EngineClosedError,
    EngineInfo,
    EngineStatus,
    Finished,
    FinishReason,
    InvalidRequestError,
    Kind,
    MemoryReport,
    OverloadedError,
    Samples,
    SamplingSettings,
    SpeechStream,
    SynthesisRequest,
    VoicePrompt,
)
from models.engine_api import Listener

SAMPLES_PER_FRAME = 1920
FRAME_S = 0.005
LANGUAGES = ("auto", "english", "german")
DEFAULT_FRAMES = 5


def frame(index: int) -> Samples:
    """The samples of one frame: no two frames are alike."""
    time_axis = np.arange(SAMPLES_PER_FRAME, dtype=np.float32) / 24_000
    return (0.5 * np.sin(2 * np.pi * (200 + 10 * index) * time_axis)).astype(np.float32)


class FakeEngine:
    """Speaks every request in a thread of its own."""

    def __init__(self, kind: Kind, precision: str = "fp32") -> None:
        self.requests: list[SynthesisRequest] = []
        self.encoded: list[tuple[float, str | None]] = []  # seconds and transcript
        self.aborted: set[str] = set()
        self.late: set[str] = set()
        self.extended: list[tuple[str, float | None]] = []
        self.is_healthy = True
        self.frame_s = FRAME_S  # for a frame to be made
        self.closed = threading.Event()
        self.info = EngineInfo(
            kind=kind, size="tiny", precision=precision, backend="torch", instructions="none", weights="embedded",
            sample_rate=24_000, samples_per_frame=SAMPLES_PER_FRAME, speaker_embedding_size=4, languages=LANGUAGES,
            speakers=("Vivian",) if kind == "custom_voice" else (), slots=8, max_frames=100, load_seconds=0.25,
            fingerprint=f"{kind}-{precision}", generation_defaults=SamplingSettings(),
        )  # fmt: skip
        self._finished = 0
        self._active: set[str] = set()
        self._timeouts: dict[str, float] = {}  # of requests, from their submission; extended roughly

    def prepare(self, request: SynthesisRequest) -> None:
        if "<|im_end|>" in request.text:
            raise InvalidRequestError("text", "spells the control token <|im_end|>, which cannot be spoken")

    def submit(self, request: SynthesisRequest, listener: Listener) -> Accepted:
        if "[reject]" in request.text:
            raise InvalidRequestError("max_frames", "the engine says no")
        if "[crash]" in request.text:
            raise RuntimeError("secret inside")
        if "[overloaded]" in request.text:
            raise OverloadedError("too much is waiting", 7.2)
        if self.closed.is_set():
            raise EngineClosedError("closed")
        self.requests.append(request)
        self._timeouts[request.request_id] = _seconds(request.timeout_s)
        self._active.add(request.request_id)
        seed = 7 if request.sampling.seed is None else request.sampling.seed
        threading.Thread(target=self._speak, args=(request, listener, seed), daemon=True).start()
        return Accepted(seed, 3, 1.5) if "[queued]" in request.text else Accepted(seed)

    def extend(self, request_id: str, timeout_s: float | None) -> None:
        self.extended.append((request_id, timeout_s))
        self._timeouts[request_id] = max(self._timeouts[request_id], _seconds(timeout_s))

    def abort(self, request_id: str) -> None:
        if request_id in self._active:
            self.aborted.add(request_id)

    def encode_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        self.encoded.append((len(samples) / sample_rate, text))
        codes = None if text is None else np.zeros((3, 16), dtype=np.int64)
        return VoicePrompt(np.full(4, float(np.abs(samples).max()), dtype=np.float32), codes, text)

    def status(self) -> EngineStatus:
        return EngineStatus(len(self._active), 0, self._finished, 0, 0, 0.0, 0.1, outcomes={"eos": self._finished})

    def memory_report(self) -> MemoryReport:
        return MemoryReport(*[0] * 6)

    def healthy(self) -> bool:
        return self.is_healthy

    def close(self) -> None:
        self.closed.set()

    def stream(self, request: SynthesisRequest) -> SpeechStream:
        raise NotImplementedError("the deployment uses submit")

    def synthesize(self, request: SynthesisRequest) -> Samples:
        raise NotImplementedError("the deployment uses submit")

    def generate_codes(self, request: SynthesisRequest) -> Codes:
        raise NotImplementedError("the deployment uses submit")

    def _speak(self, request: SynthesisRequest, listener: Listener, seed: int) -> None:
        count, began = 0, time.monotonic()
        for index in self._frames(request):
            if request.request_id in self.aborted or self.closed.is_set():
                break
            if time.monotonic() - began > self._timeouts[request.request_id]:
                self.late.add(request.request_id)
                break
            time.sleep(self.frame_s)
            if "[whole]" not in request.text:
                listener(AudioChunk(frame(index), index, 1))
            count = index + 1
        if "[whole]" in request.text:
            listener(AudioChunk(np.concatenate([frame(index) for index in range(count)]), 0, count))
        self._active.discard(request.request_id)
        self._finished += 1
        listener(self._end(request, count, seed))

    def _frames(self, request: SynthesisRequest) -> Iterator[int]:
        if "[stick]" in request.text:
            self.is_healthy = False
            self.closed.wait()
        if "[forever]" in request.text:
            return iter(range(100_000))
        found = re.search(r"\[(?:frames|fail) (\d+)\]", request.text)
        return iter(range(int(found[1]) if found else DEFAULT_FRAMES))

    def _end(self, request: SynthesisRequest, frames: int, seed: int) -> Finished:
        reason = FinishReason.EOS
        if request.request_id in self.aborted or self.closed.is_set():
            reason = FinishReason.CANCELLED
        elif "[fail" in request.text:
            reason = FinishReason.ERROR
        elif "[deadline]" in request.text or request.request_id in self.late:
            reason = FinishReason.DEADLINE
        error = "it broke" if reason is FinishReason.ERROR else None
        return Finished(reason, frames, seed, prompt_tokens=11, error=error)


def _seconds(timeout_s: float | None) -> float:
    return math.inf if timeout_s is None else timeout_s


def make_fake_engine(_: AppConfig, model: ModelConfig) -> FakeEngine:
    """The engine factory of tests."""
    return FakeEngine(model.kind, model.precision)
