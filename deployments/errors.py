"""The errors of serving, one table from error to HTTP status, and the body every error has.

Whoever serves raises; only this file decides statuses. What is not in the tree becomes an opaque 500 whose text stays
in the log. Knows no framework: web/failures.py makes responses of this.
"""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from models import (
    CheckpointError,
    EngineClosedError,
    Finished,
    FinishReason,
    GenerationError,
    InvalidRequestError,
    OutOfMemoryError,
    OverloadedError,
    RequestTooLargeError,
    SpeechError,
)
from voices import (
    ReferenceAudioError,
    VoiceBrokenError,
    VoiceExistsError,
    VoiceNameError,
    VoiceNotFoundError,
    VoiceReadOnlyError,
    VoiceStorageError,
    VoiceVersionError,
)


class ModelNotFoundError(SpeechError):
    """No configured model has this id."""


class BodyTooLargeError(SpeechError):
    """The request body passes the configured limit."""


class TooManyBodiesError(SpeechError):
    """The bodies of all requests in flight together take what they may."""


class BodyTooSlowError(SpeechError):
    """The request body did not arrive in time."""


class MediaTypeError(SpeechError):
    """The body is of a kind the route does not read."""


class KeyMissingError(SpeechError):
    """A key is required, and none or a wrong one was sent."""


class RemoteClientError(SpeechError):
    """No key is configured, so only this machine may ask."""


class ModelUnavailableError(SpeechError):
    """The model is loading, restarting or gone; a later try may succeed."""


class DeadlinePassedError(SpeechError):
    """The request's deadline passed before it was answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a kind of error is told to a client."""

    status: int
    type: str
    code: str | None = None
    retry_after_s: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if 400 <= self.status < 500 and self.retry_after_s is None:
            headers["x-should-retry"] = "false"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


_INVALID = "invalid_request_error"
_SERVER = "server_error"
_RETRY_AFTER_S = 5
_LONGEST_RETRY_AFTER_S = 120  # OpenAI's client waits no longer
_ANSWERS: dict[type[Exception], Answer] = {
    InvalidRequestError: Answer(400, _INVALID),
    ReferenceAudioError: Answer(400, _INVALID, "invalid_reference_audio"),
    VoiceNameError: Answer(400, _INVALID, "invalid_voice_name"),
    KeyMissingError: Answer(401, "authentication_error", "invalid_api_key"),
    RemoteClientError: Answer(403, "permission_error", "loopback_only"),
    VoiceReadOnlyError: Answer(403, "permission_error", "voice_read_only"),
    VoiceNotFoundError: Answer(404, _INVALID, "voice_not_found"),
    ModelNotFoundError: Answer(404, _INVALID, "model_not_found"),
    BodyTooSlowError: Answer(408, _INVALID, "body_too_slow"),
    VoiceExistsError: Answer(409, _INVALID, "voice_exists"),
    VoiceBrokenError: Answer(409, _INVALID, "voice_broken"),
    VoiceVersionError: Answer(409, _INVALID, "voice_version"),
    BodyTooLargeError: Answer(413, _INVALID, "body_too_large"),
    RequestTooLargeError: Answer(413, _INVALID, "request_too_large"),
    MediaTypeError: Answer(415, _INVALID, "unsupported_media_type"),
    OverloadedError: Answer(429, "rate_limit_error", "overloaded", _RETRY_AFTER_S),
    GenerationError: Answer(500, _SERVER, "generation_failed"),
    TooManyBodiesError: Answer(503, _SERVER, "too_many_bodies", _RETRY_AFTER_S),
    VoiceStorageError: Answer(503, _SERVER, "voice_storage_failed", _RETRY_AFTER_S),
    OutOfMemoryError: Answer(503, _SERVER, "out_of_memory", _RETRY_AFTER_S),
    EngineClosedError: Answer(503, _SERVER, "model_unavailable", _RETRY_AFTER_S),
    CheckpointError: Answer(503, _SERVER, "model_unavailable", _RETRY_AFTER_S),
    ModelUnavailableError: Answer(503, _SERVER, "model_unavailable", _RETRY_AFTER_S),
    DeadlinePassedError: Answer(504, _SERVER, "deadline_passed"),
}
_OPAQUE = Answer(500, _SERVER, "internal_error")
_PARAMETERS: dict[type[Exception], str] = {VoiceNotFoundError: "voice", ModelNotFoundError: "model"}


def answer_for(error: Exception) -> Answer:
    """The nearest ancestor's row of the table, with what the error itself knows of another try."""
    answer = next((_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS), _OPAQUE)
    if isinstance(error, OverloadedError):
        seconds = min(_LONGEST_RETRY_AFTER_S, max(1, math.ceil(error.retry_after_s)))
        return replace(answer, retry_after_s=seconds)
    return answer


def parameter_of(error: Exception) -> str | None:
    """The field of the request that is to blame."""
    if isinstance(error, InvalidRequestError):
        return error.field
    return next((name for kind, name in _PARAMETERS.items() if isinstance(error, kind)), None)


def error_body(answer: Answer, message: str, parameter: str | None = None) -> dict[str, dict[str, str | None]]:
    """The one form in which errors are told, over JSON and server-sent events alike."""
    return {"error": {"message": message, "type": answer.type, "param": parameter, "code": answer.code}}


def describe(error: Exception) -> dict[str, dict[str, str | None]]:
    """The body for an error; outside the tree its text is not shown."""
    answer = answer_for(error)
    if answer is _OPAQUE:
        return error_body(answer, "internal error; the log has more under this request's id")
    return error_body(answer, str(error), parameter_of(error))


def answer_for_status(status: int) -> Answer:
    """The answer to what a library found (unknown path, wrong method, malformed body)."""
    return Answer(status, _INVALID if status < 500 else _SERVER)


def is_answer(error: BaseException) -> bool:
    """Whether this was raised on purpose. The framework wraps what breaks off an answer that has begun."""
    return isinstance(error, SpeechError) or isinstance(error.__cause__, SpeechError)


@contextmanager
def renamed_fields(names: Mapping[str, str]) -> Generator[None]:
    """Errors raised inside name the field as the client does."""
    try:
        yield
    except InvalidRequestError as error:
        if error.field not in names:
            raise
        raise type(error)(names[error.field], error.message) from None


def raise_for_failure(finished: Finished) -> None:
    """Raises what an utterance that broke off means to the one who asked for it."""
    match finished.reason:
        case FinishReason.ERROR:
            raise GenerationError(finished.error or "the utterance failed while it was being computed")
        case FinishReason.MEMORY:
            raise OutOfMemoryError(finished.error)
        case FinishReason.TOO_LARGE:
            raise RequestTooLargeError(finished.error)
        case FinishReason.DEADLINE:
            raise DeadlinePassedError("the deadline passed before the utterance was finished")
        case FinishReason.CANCELLED:
            raise EngineClosedError("the utterance was stopped before its end")
        case FinishReason.EOS | FinishReason.LENGTH | FinishReason.RUNAWAY:
            return
