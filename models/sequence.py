"""One request's life in the engine."""

import math
import time
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
from torch import Tensor

from models.engine_api import Listener
from models.prompt import Prompt
from models.runaway import RunawayDetector, Verdict
from models.types import (
    AudioChunk,
    Codes,
    Finished,
    FinishReason,
    Priority,
    Samples,
    SamplingSettings,
    SynthesisRequest,
)


class Status(Enum):
    """Where a sequence is."""

    WAITING = auto()
    PREFILLING = auto()
    RUNNING = auto()
    FINISHED = auto()


@dataclass(slots=True, eq=False)
class Sequence:
    """Everything the engine knows about one request. Owned by the engine thread once queued."""

    request: SynthesisRequest
    listener: Listener
    sampling: SamplingSettings
    seed: int
    max_frames: int
    text_tokens: int
    wants_audio: bool = True
    status: Status = Status.WAITING
    slot: int = -1
    prompt: Prompt | None = None
    prefilled: int = 0  # positions, of the prompt and of frames drawn before, whose keys and values are in the slot
    primed: int = 0  # reference frames the codec decoder has been moved past
    codec_past: tuple[Tensor, ...] | None = None  # the codec's, while the sequence waits for a slot once more
    codes: list[list[int]] = field(default_factory=list)
    next_code: int = -1  # code 0 of the frame to come
    decoded: int = 0  # frames turned into samples
    held: list[Samples] = field(default_factory=list)  # samples of a request that wants them whole
    verdict: Verdict = Verdict.FINE
    detector: RunawayDetector | None = None
    reason: FinishReason | None = None
    error: str | None = None
    retried: bool = False
    submitted_at: float = field(default_factory=time.monotonic)
    admitted_at: float | None = None
    first_chunk_at: float | None = None
    deadline: float = field(init=False)  # on the monotonic clock

    def __post_init__(self) -> None:
        timeout = self.request.timeout_s
        self.deadline = math.inf if timeout is None else self.submitted_at + timeout

    @property
    def priority(self) -> Priority:
        """Its class."""
        return self.request.priority

    @property
    def has_slot(self) -> bool:
        """Whether it is in a slot."""
        return self.status in (Status.PREFILLING, Status.RUNNING)

    @property
    def frames(self) -> int:
        """Frames drawn so far."""
        return len(self.codes)

    @property
    def position(self) -> int:
        """Position in the cache of the talker step that follows the newest frame."""
        assert self.prompt is not None
        return len(self.prompt.prefill) + self.frames - 1

    @property
    def reference_codes(self) -> Codes | None:
        """Codes the utterance continues."""
        return None if self.request.voice is None else self.request.voice.reference_codes

    @property
    def has_emitted(self) -> bool:
        """Whether the caller has heard anything."""
        return self.first_chunk_at is not None

    def deliver(self, samples: Samples, frames: int) -> None:
        """Pass samples on, or hold them for a request that wants them whole."""
        first = self.decoded
        self.decoded += frames
        if self.request.whole:
            self.held.append(samples)
        else:
            self._emit(samples, first)

    def _emit(self, samples: Samples, first_frame: int) -> None:
        if self.first_chunk_at is None:
            self.first_chunk_at = time.monotonic()
        self.listener(AudioChunk(samples, first_frame, self.decoded - first_frame))

    def _let_out(self) -> None:
        """What was held, in one piece, which takes as much memory again."""
        try:
            samples = np.concatenate(self.held)
        except MemoryError:
            self.reason, self.error = FinishReason.MEMORY, "there was no memory left to join the audio"
            return
        self._emit(samples, 0)

    def restart(self, seed: int) -> None:
        """Forget an attempt of which nothing was heard; the next draws from another seed."""
        self.seed = seed
        self.retried = True
        self.codes.clear()
        self.held.clear()
        self.decoded = 0
        self.verdict = Verdict.FINE

    def close(self) -> None:
        """Say the last words: held audio, then how it ended."""
        assert self.reason is not None
        self.status = Status.FINISHED
        if self.held and not self.reason.failed:
            self._let_out()
        now = time.monotonic()
        admitted = self.admitted_at or now
        first = self.first_chunk_at
        self.listener(
            Finished(
                reason=self.reason,
                frames=self.frames,
                seed=self.seed,
                prompt_tokens=0 if self.prompt is None else self.prompt.text_tokens,
                queue_s=admitted - self.submitted_at,
                ttfa_s=None if first is None else first - self.submitted_at,
                total_s=now - self.submitted_at,
                retried=self.retried,
                error=self.error,
            )
        )
