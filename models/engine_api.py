"""What an engine promises to its callers: the deployment, the benchmarks and outsiders use nothing else.

The deployment is tested with a fake that keeps this promise; `models.engine.Engine` keeps it for real.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from models.architecture import Kind
from models.types import Codes, Samples, Sampling, SpeechEvent, SpeechStream, SynthesisRequest, VoicePrompt

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
    generation_defaults: Sampling  # of a request that says nothing about sampling


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A moment in an engine's life."""

    slots_used: int
    waiting: int
    requests: int  # finished, whatever the reason
    failures: int  # finished with FinishReason.ERROR
    runaways: int
    audio_seconds: float  # emitted since start
    real_time_factor: float | None  # wall time over audio time while busy; None before the first frame


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Bytes by purpose. Weights that are memory-mapped are counted at their mapped size."""

    weights: int
    caches: int
    codec_state: int
    workspace: int
    prefixes: int


class SpeechEngine(Protocol):
    """One model, ready to speak. Methods may be called from any thread."""

    @property
    def info(self) -> EngineInfo: ...

    def submit(self, request: SynthesisRequest, listener: Listener) -> int:
        """Queue a request and return its seed. `listener` is called in the engine's thread with every AudioChunk and
        then exactly one Finished, and must return at once.

        Raises InvalidRequestError before anything is queued, EngineClosedError when the engine is closed.
        """
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
        """What a Base model needs to speak like `samples`; `text` None gives an x-vector clone."""
        ...

    def status(self) -> EngineStatus: ...

    def memory_report(self) -> MemoryReport: ...

    def healthy(self) -> bool:
        """Whether the engine thread lives and moves."""
        ...

    def close(self) -> None:
        """Finish nothing, answer everybody, release everything."""
        ...
