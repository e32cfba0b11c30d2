"""What an engine says of a request: frozen, free of torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from models.request import Samples


class FinishReason(StrEnum):
    """Why a sequence ended."""

    EOS = "eos"  # the talker said so
    LENGTH = "length"  # max_frames reached
    CANCELLED = "cancelled"  # abort()
    DEADLINE = "deadline"  # timeout_s passed
    RUNAWAY = "runaway"  # end of speech was missed and the noise that follows was cut
    MEMORY = "memory"  # no memory was left beside the others
    TOO_LARGE = "too_large"  # nor would there have been any alone
    ERROR = "error"  # this sequence failed

    @property
    def spoken_out(self) -> bool:
        """Whether speech came to an end, so that its last frames are still heard."""
        return self in (FinishReason.EOS, FinishReason.LENGTH, FinishReason.RUNAWAY)

    @property
    def failed(self) -> bool:
        """Whether nothing of it is of use, through no wish of anybody."""
        return self in (FinishReason.MEMORY, FinishReason.TOO_LARGE, FinishReason.ERROR)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is said of a request when it is queued."""

    seed: int  # the one it is drawn from
    queue_position: int = 0  # 1: next; 0: it starts at once
    eta_s: float = 0.0  # predicted seconds until it starts


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """Samples of one request, in order and without gaps."""

    samples: Samples
    first_frame: int
    frames: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The last thing said about a request; exactly one per request."""

    reason: FinishReason
    frames: int
    seed: int
    prompt_tokens: int = 0
    queue_s: float = 0.0  # submission to admission
    ttfa_s: float | None = None  # submission to first chunk
    total_s: float = 0.0  # submission to this event
    retried: bool = False  # a runaway was drawn again from a derived seed
    error: str | None = None


SpeechEvent = AudioChunk | Finished


class SpeechStream:
    """The events of one submitted request, in the order in which they happen."""

    def __init__(self, events: Iterator[SpeechEvent], request_id: str, seed: int) -> None:
        self._events = events
        self.request_id = request_id
        self.seed = seed
        self.finished: Finished | None = None

    def __iter__(self) -> Iterator[Samples]:
        for event in self._events:
            if isinstance(event, Finished):
                self.finished = event
                return
            yield event.samples
