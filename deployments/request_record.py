"""What is known of one HTTP request, collected on its way through the ingress for its log line and the metrics."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class RequestRecord:
    """Times are in seconds; what is not known stays None."""

    request_id: str
    engine_id: str  # the same, unless another request in flight has it already
    began: float = field(default_factory=time.monotonic)
    model: str | None = None
    outcome: str | None = None  # how the speech ended, if there was one
    audio_s: float | None = None
    queue_s: float | None = None
    rtf: float | None = None
    ttfa_s: float | None = None  # to the first byte of a streamed body

    @property
    def elapsed_s(self) -> float:
        """Since the request came in."""
        return time.monotonic() - self.began

    def fields(self) -> Mapping[str, object]:
        """What is known, for a log line."""
        known = {
            "request_id": self.request_id, "model": self.model, "outcome": self.outcome, "audio_s": self.audio_s,
            "queue_s": self.queue_s, "rtf": self.rtf, "ttfa_s": self.ttfa_s, "duration_s": self.elapsed_s,
        }  # fmt: skip
        return {name: value for name, value in known.items() if value is not None}


current_record: ContextVar[RequestRecord | None] = ContextVar("current_record", default=None)
