"""The HTTP app over any models: routes, middleware, and every error in one form."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from deployments.config import AppConfig
from deployments.contract import ModelClient
from deployments.errors import (
    BodyTooLargeError,
    MediaTypeError,
    TooManyBodiesError,
    error_response,
    handle_speech_error,
    handle_unknown_error,
    status_response,
)
from deployments.web import native_routes, openai_routes, root_routes
from deployments.web.layers.body_budget import BodyBudget
from deployments.web.layers.disconnect import StopWhenGone
from deployments.web.layers.key_check import BodyLimit, KeyCheck
from deployments.web.layers.recorder import Recorder
from deployments.web.layers.request_id import RequestId
from deployments.web.schemas import ErrorBody
from deployments.web.services import Services
from models import SpeechError

ROUTES = (native_routes, openai_routes, root_routes)
_UNION_TAGS = frozenset({"str", "VoiceId"})  # pydantic puts the tried alternatives of a union into the path of a field

# What middleware says while FastAPI reads a body, which lets nothing but HTTPExceptions through.
_REFUSED_BODIES: dict[int, type[SpeechError]] = {413: BodyTooLargeError, 503: TooManyBodiesError}


def create_app(config: AppConfig, clients: Mapping[str, ModelClient], former: Services | None = None) -> FastAPI:
    """The app, which goes on from where the `former` one is; `clients` are the models by id. Raises VoiceStorageError
    where the voices cannot be kept."""
    services = Services.of(config, clients, former)
    app = SpeechApp(
        title="qwen3-tts-cpu",
        summary="Qwen3-TTS on ordinary CPUs",
        redirect_slashes=False,
        redoc_url=None,
        responses={"default": {"model": ErrorBody, "description": "Error"}},
        middleware=[
            Middleware(StopWhenGone),
            Middleware(KeyCheck, config=config, keys=services.keys),
            Middleware(BodyLimit, config=config),
            Middleware(BodyBudget, config=config),
        ],
        exception_handlers={
            SpeechError: handle_speech_error,
            RequestValidationError: handle_malformed_request,
            HTTPException: handle_http_exception,
            Exception: handle_unknown_error,
        },
    )
    app.state.services = services
    for module in ROUTES:
        app.include_router(module.router)
    return app


class SpeechApp(FastAPI):
    """FastAPI with request ids and records also of its last-resort errors, and without a promise of the 422 that is
    never sent."""

    def build_middleware_stack(self) -> ASGIApp:
        routes = [route for module in ROUTES for route in module.router.routes]
        return RequestId(Recorder(super().build_middleware_stack(), self.state.services.metrics, routes))

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return document


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
