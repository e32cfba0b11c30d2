"""One request's life in the engine."""

import math
import time
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
from torch import Tensor

from models.engine.runaway import RunawayDetector, Verdict
from models.engine_api import Listener
from models.events import AudioChunk, Finished, FinishReason
from models.language import Prompt
from models.request import Codes, Priority, Samples, SamplingSettings, SynthesisRequest
from models.text import Layout


class Status(Enum):
    """Where a sequence is."""

    WAITING = auto()
    PREFILLING = auto()  # something is to be gone through before its next frame can be drawn
    RUNNING = auto()
    FINISHED = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where the talker stands in front of a frame."""

    hidden: Tensor  # float32 [hidden]
    seen: Tensor  # bool [codec vocabulary]: codes 0 drawn so far
    next_code: int  # code 0 of that frame, or end of speech


@dataclass(slots=True, eq=False)
class Sequence:
    """Everything the engine knows about one request. Owned by the engine thread once queued."""

    request: SynthesisRequest
    listener: Listener
    layout: Layout
    sampling: SamplingSettings
    seed: int
    max_frames: int
    wants_audio: bool = True
    status: Status = Status.WAITING
    slot: int = -1
    prompt: Prompt | None = None
    prefilled: int | None = None  # positions whose keys and values the slot holds; None: it was just given
    primed: int | None = None  # frames behind which the slot's codec decoder stands; None: anywhere
    opening: Tensor | None = None  # the talker's state right after the prompt, [hidden]
    standing: Standing | None = None  # None: not in front of a frame yet
    codes: list[list[int]] = field(default_factory=list)
    released: int = 0  # frames that are to be heard; those after them may still turn out to be noise
    decoded: int = 0  # of these, frames turned into samples
    alone: bool = False  # is turned into samples apart from others
    held: list[Samples] = field(default_factory=list)  # samples of a request that wants them whole
    verdict: Verdict = Verdict.FINE
    detector: RunawayDetector | None = None
    reason: FinishReason | None = None
    error: str | None = None
    retried: bool = False
    submitted_at: float = field(default_factory=time.monotonic)
    admitted_at: float | None = None
    first_chunk_at: float | None = None
    decoded_at: float = field(init=False)  # when its last samples were made; at first, when it was submitted
    deadline: float = field(init=False)  # on the monotonic clock

    def __post_init__(self) -> None:
        timeout = self.request.timeout_s
        self.decoded_at = self.submitted_at
        self.deadline = math.inf if timeout is None else self.submitted_at + timeout

    @property
    def priority(self) -> Priority:
        """Its class."""
        return self.request.priority

    @property
    def text_tokens(self) -> int:
        """Tokens of the text to be spoken."""
        return len(self.layout.text)

    @property
    def has_slot(self) -> bool:
        """Whether it is in a slot."""
        return self.status in (Status.PREFILLING, Status.RUNNING)

    @property
    def frames(self) -> int:
        """Frames drawn so far."""
        return len(self.codes)

    @property
    def reference_codes(self) -> Codes | None:
        """Codes the utterance continues."""
        return None if self.request.voice is None else self.request.voice.reference_codes

    @property
    def undecoded(self) -> int:
        """Frames that are to be turned into samples."""
        return self.released - self.decoded if self.wants_audio else 0

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done for it."""
        return self.reason is not None and not (self.reason.spoken_out and self.undecoded)

    @property
    def is_heard(self) -> bool:
        """Whether its listener has heard of it, or will for certain."""
        return self.released > 0 and not self.request.whole

    def end(self, reason: FinishReason, error: str | None = None) -> None:
        """Say why it ends. The first reason stands; but speech that came to its end can still fail, or be given up,
        while its last frames are turned into samples."""
        if self.reason is None or (self.reason.spoken_out and not reason.spoken_out):
            self.reason, self.error = reason, error
        if self.reason.spoken_out:
            self.released = self.frames

    def take_slot(self, slot: int, now: float) -> None:
        """Of which nothing is known: everything is gone through, what was drawn before included."""
        self.slot = slot
        self.status = Status.PREFILLING
        self.prefilled = self.primed = None
        if self.admitted_at is None:
            self.admitted_at = now

    def restart(self, seed: int) -> None:
        """Forget an attempt of which nothing was heard; the next draws from another seed."""
        self.seed = seed
        self.retried = True
        self.codes.clear()
        self.held.clear()
        self.released = self.decoded = 0
        self.verdict = Verdict.FINE
        self.standing = None
        self.primed = None
        self.status = Status.PREFILLING

    def deliver(self, samples: Samples, frames: int) -> None:
        """Pass samples on, or hold them for a request that wants them whole."""
        first = self.decoded
        self.decoded += frames
        self.decoded_at = time.monotonic()
        if self.request.whole:
            self.held.append(samples)
        else:
            self._emit(samples, first)

    def _emit(self, samples: Samples, first_frame: int) -> None:
        if self.first_chunk_at is None:
            self.first_chunk_at = time.monotonic()
        self.listener(AudioChunk(samples, first_frame, self.decoded - first_frame))

    def let_out(self) -> None:
        """Pass on what was held, in one piece, which takes as much memory again."""
        if not self.held or self.reason is None or self.reason.failed:
            return
        try:
            samples = np.concatenate(self.held)
        except MemoryError:
            self.reason, self.error = FinishReason.MEMORY, "there was no memory left to join the audio"
            return
        self._emit(samples, 0)

    def close(self) -> None:
        """Say the last word: how it ended."""
        assert self.reason is not None
        self.status = Status.FINISHED
        now = time.monotonic()
        admitted = self.admitted_at or now
        first = self.first_chunk_at
        self.listener(
            Finished(
                reason=self.reason,
                frames=self.frames,
                seed=self.seed,
                prompt_tokens=self.text_tokens,
                queue_s=admitted - self.submitted_at,
                ttfa_s=None if first is None else first - self.submitted_at,
                total_s=now - self.submitted_at,
                retried=self.retried,
                error=self.error,
            )
        )
