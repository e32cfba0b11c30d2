"""How an engine is set up. Typed, checked, frozen."""

from dataclasses import dataclass, field

from models.engine.runaway import RunawayLimits
from models.errors import InvalidRequestError
from models.loading import LoadOptions


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    """How many frames are turned into samples at a time: few at first, for the time to first audio, then more."""

    first: int = 2
    growth: int = 2
    largest: int = 12

    def wanted(self, decoded: int) -> int:
        """Frames of the chunk that follows `decoded` frames."""
        return min(self.largest, self.first if decoded == 0 else decoded * self.growth)


@dataclass(frozen=True, slots=True)
class EngineOptions(LoadOptions):
    """Defaults suit a small machine."""

    max_waiting: int = 32  # sequences that may wait for a slot; of each class, as batch work is no obstacle
    max_frames: int = 1500  # of a request that names no limit: 120 s
    prefill_rows: int = 64  # prompt positions between two frame steps
    batch_prefill_rows: int = 16  # the same of batch work: no longer than a frame step, which may be waited for
    prefix_bytes: int = 64 * 1024 * 1024  # state kept for voices
    codec_s: float = 0.1  # so long, about, sound is made between two frame steps, if that keeps up with them
    chunks: ChunkPolicy = field(default_factory=ChunkPolicy)
    runaway: RunawayLimits | None = field(default_factory=RunawayLimits)  # None: never
    least_frames_per_token: float = 1.5  # texts that could not even fit at this pace are refused
    assumed_real_time_factor: float = 1.0  # of all sequences together, until it was measured
    assumed_frames_per_token: float = 4.0  # length of speech, until it was measured

    def __post_init__(self) -> None:
        LoadOptions.__post_init__(self)
        for name in ("max_waiting", "max_frames", "prefill_rows", "batch_prefill_rows"):
            if getattr(self, name) < 1:
                raise InvalidRequestError(name, f"{getattr(self, name)} is below 1")
        if not self.codec_s > 0:
            raise InvalidRequestError("codec_s", f"{self.codec_s} is not a positive number of seconds")

    def least_frames(self, text_tokens: int) -> int:
        """Frames below which a text of so many tokens cannot have been spoken."""
        return int(self.least_frames_per_token * text_tokens)
