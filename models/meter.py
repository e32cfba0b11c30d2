"""What an engine counts about itself."""

from models.engine_api import EngineStatus
from models.types import FinishReason


class Meter:
    """Written by the engine thread, read by anyone: plain numbers, each replaced whole."""

    def __init__(self, seconds_per_frame: float) -> None:
        self._seconds_per_frame = seconds_per_frame
        self._busy_s = 0.0
        self._frames = 0
        self._requests = 0
        self._failures = 0
        self._runaways = 0

    def busy(self, seconds: float) -> None:
        """Time spent in the loop."""
        self._busy_s += seconds

    def frames(self, count: int) -> None:
        """Frames made."""
        self._frames += count

    def finished(self, reason: FinishReason) -> None:
        """A request that ended."""
        self._requests += 1
        self._failures += reason is FinishReason.ERROR
        self._runaways += reason is FinishReason.RUNAWAY

    def status(self, slots_used: int, waiting: int) -> EngineStatus:
        """Everything at this moment."""
        audio = self._frames * self._seconds_per_frame
        return EngineStatus(
            slots_used=slots_used,
            waiting=waiting,
            requests=self._requests,
            failures=self._failures,
            runaways=self._runaways,
            audio_seconds=audio,
            real_time_factor=self._busy_s / audio if audio else None,
        )
