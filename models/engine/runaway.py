"""Missed end of speech: now and then the talker never says that it has finished, and noise or silence follows for
minutes. This notices, generously: cutting real speech is worse than a few seconds of noise."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from models.errors import InvalidRequestError


class Verdict(Enum):
    """What the codes so far look like."""

    FINE = "fine"
    SUSPICIOUS = "suspicious"  # hold the audio back until it is clear
    RUNAWAY = "runaway"


@dataclass(frozen=True, slots=True)
class RunawayLimits:
    """When speech has become implausible. Frames are 80 ms.

    Speech takes two to five frames a text token; `frames_per_token` is three times that. A pattern is a run of
    frames that repeats exactly, all codes of it, with a period of up to `longest_period` frames; real speech, silence
    included, hardly ever repeats a whole frame. Stationary sound is code 0 alone repeating, as in long silence.
    """

    base_frames: int = 150
    frames_per_token: float = 15.0
    longest_period: int = 4
    suspicious_frames: int = 12
    pattern_frames: int = 38
    stationary_frames: int = 75

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise InvalidRequestError(f"runaway.{name}", f"{getattr(self, name)} is below 1")

    def longest(self, text_tokens: int) -> int:
        """Frames beyond which an utterance of this many text tokens is implausible."""
        return self.base_frames + int(self.frames_per_token * text_tokens)


class RunawayDetector:
    """Watches one sequence; `add` costs the same at every frame."""

    def __init__(self, limits: RunawayLimits, text_tokens: int) -> None:
        self._limits = limits
        self._longest = limits.longest(text_tokens)
        self._recent: deque[tuple[int, ...]] = deque(maxlen=limits.longest_period)
        self._repeats = [0] * limits.longest_period  # frames in a row equal to the one `period` before
        self._stationary = 0  # frames in a row with the same code 0
        self._frames = 0

    @property
    def tail(self) -> int:
        """Frames at the end that belong to the suspicion: what to drop when it turns out right."""
        return max(self._stationary, *self._repeats)

    def add(self, frame: Sequence[int]) -> Verdict:
        """The verdict after one more frame of codes."""
        codes = tuple(frame)
        for period in range(1, self._limits.longest_period + 1):
            same = len(self._recent) >= period and self._recent[-period] == codes
            self._repeats[period - 1] = self._repeats[period - 1] + 1 if same else 0
        same = bool(self._recent) and self._recent[-1][0] == codes[0]
        self._stationary = self._stationary + 1 if same else 0
        self._recent.append(codes)
        self._frames += 1
        return self._verdict()

    def _verdict(self) -> Verdict:
        limits = self._limits
        repeats = max(self._repeats)
        if self._frames > self._longest:
            return Verdict.RUNAWAY
        if repeats >= limits.pattern_frames or self._stationary >= limits.stationary_frames:
            return Verdict.RUNAWAY
        return Verdict.SUSPICIOUS if self.tail >= limits.suspicious_frames else Verdict.FINE
