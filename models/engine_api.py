"""What an engine promises to its callers: the deployment, the benchmarks and outsiders use nothing else.

The deployment is tested with a fake that keeps this promise; `models.engine.Engine` keeps it for real.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from models.events import Accepted, SpeechEvent, SpeechStream
from models.request import Codes, Kind, Samples, SamplingSettings, SynthesisRequest, VoicePrompt

Listener = Callable[[SpeechEvent], None]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was loaded; never changes while the engine lives."""

    kind: Kind
    size: str  # "0b6", "1b7", "tiny"
    precision: str
    backend: str  # "native" or "torch"
    instructions: str  # what the kernels were chosen for, e.g. "avx512_vnni"
    weights: str  # "embedded", "hub" or "folder"
    sample_rate: int
    samples_per_frame: int
    speaker_embedding_size: int
    languages: tuple[str, ...]
    speakers: tuple[str, ...]
    slots: int
    max_frames: int
    load_seconds: float
    fingerprint: str  # digest of the weights: what was made with other weights must not be used with these
    generation_defaults: SamplingSettings  # of whatever a request leaves open


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A moment in an engine's life."""

    slots_used: int
    waiting: int  # for a slot, those included that had to give one up
    requests: int  # finished, whatever the reason
    failures: int  # finished with a reason that is a failure
    runaways: int
    audio_seconds: float  # emitted since start
    real_time_factor: float | None  # wall time over audio time while busy; None before the first frame
    waiting_batch: int = 0  # of those waiting, in the class that comes second
    outcomes: Mapping[str, int] = field(default_factory=dict)  # finished requests by FinishReason
    rejected: int = 0  # requests that were not let in: OverloadedError
    preempted: int = 0  # times that batch work gave up its slot
    queue_wait_seconds: float = 0.0  # from submission to the first slot, of all requests that got one, together
    queued_audio_seconds: float = 0.0  # still to be made for those who run and wait, as expected


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Bytes by purpose. Weights that are memory-mapped are counted at their mapped size."""

    weights: int
    mapped: int  # of the weights: read where they are mapped, not copied into private memory
    caches: int
    untouched: int  # of the caches: reserved, but not taken yet
    codec_state: int
    prefixes: int


class SpeechEngine(Protocol):
    """One model, ready to speak. Methods may be called from any thread."""

    @property
    def info(self) -> EngineInfo: ...

    def prepare(self, request: SynthesisRequest) -> None:
        """Read from the disk what a request will look up, which may take a while. Raises InvalidRequestError for what
        this model cannot speak; the text may be longer than an utterance."""
        ...

    def submit(self, request: SynthesisRequest, listener: Listener) -> Accepted:
        """Queue a request. `listener` is called in the engine's thread with every AudioChunk and then exactly one
        Finished, and must return at once.

        Raises before anything is queued: InvalidRequestError, EngineClosedError when the engine is closed, and
        OverloadedError when too many wait or the request is predicted to start after its deadline.
        """
        ...

    def extend(self, request_id: str, timeout_s: float | None) -> None:
        """Put a request's deadline off: to so many seconds from now, or for ever. It never comes nearer. Unknown and
        finished ids are fine."""
        ...

    def abort(self, request_id: str) -> None:
        """End a request at the next frame; its listener still gets its Finished. Unknown and finished ids are fine."""
        ...

    def stream(self, request: SynthesisRequest) -> SpeechStream:
        """Speak; iterate for float32 chunks. Leaving the iterator early aborts the request."""
        ...

    def synthesize(self, request: SynthesisRequest) -> Samples:
        """Speak to the end: float32 [samples]. Raises GenerationError when the sequence failed."""
        ...

    def generate_codes(self, request: SynthesisRequest) -> Codes:
        """The codes of an utterance without its audio: int64 [frames, code_groups]."""
        ...

    def encode_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        """What a Base model needs to speak like `samples`; `text` None gives an x-vector clone. Unless they end in
        half a second of silence, as much is appended."""
        ...

    def status(self) -> EngineStatus: ...

    def memory_report(self) -> MemoryReport: ...

    def healthy(self) -> bool:
        """Whether the engine thread lives and moves, and the weights are still those that it loaded."""
        ...

    def close(self) -> None:
        """Finish nothing, answer everybody, release everything."""
        ...
