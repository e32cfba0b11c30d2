"""What is known of one HTTP request, collected on its way through the ingress for its log line and the metrics."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from deployments.contract import Repeat


@dataclass(slots=True)
class RequestRecord:
    """Times are in seconds; what is not known stays None."""

    request_id: str  # the client's, or one like it
    repeat: Repeat | None = None
    began: float = field(default_factory=time.monotonic)
    model: str | None = None  # the one chosen to speak, if there is anything to speak
    engine_id: str | None = None  # the request's id in the logs of the model
    outcome: str | None = None  # how the speech ended
    error: str | None = None  # the kind of error that broke it off
    client_left: bool = False  # before it had the whole answer
    audio_s: float | None = None
    queue_s: float | None = None
    rtf: float | None = None
    ttfa_s: float | None = None  # to the first byte of a streamed body

    @property
    def elapsed_s(self) -> float:
        """Since the request came in."""
        return time.monotonic() - self.began

    def end(self, status: int) -> None:
        """Settle how a speech ended of which nobody has said so: by what the client was told, if it was there."""
        if self.model is not None and self.outcome is None:
            self.outcome = "abandoned" if self.client_left else outcome_of(status)

    def fields(self) -> Mapping[str, object]:
        """What is known, for a log line."""
        known = {
            "request_id": self.request_id, "engine_id": self.engine_id, "model": self.model, "outcome": self.outcome,
            "error": self.error, "audio_s": self.audio_s, "queue_s": self.queue_s, "rtf": self.rtf,
            "ttfa_s": self.ttfa_s, "duration_s": self.elapsed_s,
        }  # fmt: skip
        return {name: value for name, value in known.items() if value is not None}


def outcome_of(status: int) -> str:
    """What an answer without speech means for the speech that was asked for."""
    match status:
        case 503:
            return "unavailable"
        case 504:
            return "deadline"
        case _:
            return "refused" if 400 <= status < 500 else "failed"


def note_model(model_id: str) -> None:
    """The request that is being answered asks this model to speak."""
    if (record := current_record.get()) is not None:
        record.model = model_id


current_record: ContextVar[RequestRecord | None] = ContextVar("current_record", default=None)
