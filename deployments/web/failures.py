"""Failures as responses: what errors.py says of an error, in the one form that clients see."""

import logging
from collections.abc import Mapping, Sequence

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.errors import (
    BodyTooLargeError,
    MediaTypeError,
    TooManyBodiesError,
    answer_for,
    answer_for_status,
    describe,
    error_body,
    is_answer,
)
from models import SpeechError

logger = logging.getLogger(__name__)

_UNION_TAGS = frozenset({"str", "VoiceId"})  # pydantic puts the tried alternatives of a union into the path of a field

# What middleware says while FastAPI reads a body, which lets nothing but HTTPExceptions through.
_REFUSED_BODIES: dict[int, type[SpeechError]] = {413: BodyTooLargeError, 503: TooManyBodiesError}


def error_response(error: Exception) -> JSONResponse:
    """An error that came before the first byte."""
    answer = answer_for(error)
    return JSONResponse(describe(error), status_code=answer.status, headers=answer.headers)


def status_response(
    status: int, message: str, parameter: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error that a library found (unknown path, wrong method, malformed body)."""
    answer = answer_for_status(status)
    return JSONResponse(
        error_body(answer, message, parameter), status_code=status, headers={**answer.headers, **(headers or {})}
    )


async def handle_speech_error(_: Request, error: Exception) -> Response:
    """FastAPI's handler for everything in the tree."""
    return error_response(error)


async def handle_unknown_error(request: Request, error: Exception) -> Response:
    """FastAPI's handler for everything else: the traceback is for the log."""
    if not is_answer(error):
        request_id = request.headers.get("x-request-id", "-")
        logger.error("request failed: %s", type(error).__name__, exc_info=error, extra={"request_id": request_id})
    return error_response(error)


async def handle_malformed_request(request: Request, error: Exception) -> Response:
    """A body that does not have the shape of its route: 400, naming the first field that is to blame."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    is_body = first["loc"][:1] == ("body",)
    content_type = request.headers.get("content-type", "application/json")
    if is_body and "json" not in content_type and "multipart" not in content_type:
        return error_response(MediaTypeError(f"send JSON as application/json, not as {content_type}"))
    field = field_path(first["loc"])
    message = "is not a known field" if first["type"] == "extra_forbidden" else first["msg"]
    return status_response(400, f"{field or 'body'}: {message}", field)


async def handle_http_exception(_: Request, error: Exception) -> Response:
    """What the framework refuses by itself: unknown paths, wrong methods, broken forms."""
    assert isinstance(error, HTTPException)
    if refusal := _REFUSED_BODIES.get(error.status_code):
        return error_response(refusal(str(error.detail)))
    return status_response(error.status_code, str(error.detail), headers=error.headers)


def field_path(location: Sequence[str | int]) -> str | None:
    """`sampling.top_p` for ("body", "sampling", "top_p"); None where the body as a whole is to blame."""
    names = [part for part in location[1:] if isinstance(part, str) and part not in _UNION_TAGS]
    return ".".join(names) or None
