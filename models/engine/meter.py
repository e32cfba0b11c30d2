"""What an engine counts about itself."""

from collections import Counter

from models.engine.pace import Pace
from models.engine.sequence import Sequence
from models.events import FinishReason


class Meter:
    """Written by the engine thread, read by anyone: plain numbers, each replaced whole."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._frames = 0
        self.busy_s = 0.0  # in the loop
        self.outcomes = Counter({str(reason): 0 for reason in FinishReason})  # all keys there: never resized

    def round(self, width: int, seconds: float) -> None:
        """A round of the loop that made a frame for each of `width` sequences."""
        self._frames += width
        self.busy_s += seconds
        self._pace.step(width, seconds)

    def decoded(self, frames: int, seconds: float) -> None:
        """A call of the codec decoder."""
        self._pace.decoded(frames, seconds)

    def finished(self, sequence: Sequence) -> None:
        """A sequence that ended."""
        assert sequence.reason is not None
        self.outcomes[sequence.reason] += 1
        if sequence.reason in (FinishReason.EOS, FinishReason.RUNAWAY, FinishReason.LENGTH):
            self._pace.spoken(sequence.text_tokens, sequence.frames, cut=sequence.reason is FinishReason.LENGTH)

    @property
    def audio_s(self) -> float:
        """Seconds of audio made."""
        return self._frames * self._pace.seconds_per_frame

    @property
    def real_time_factor(self) -> float | None:
        """Wall time over audio time while busy; None before the first frame."""
        return self.busy_s / self.audio_s if self._frames else None
