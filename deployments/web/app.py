"""The HTTP app over any models: routes, middleware, and every error in one form."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from deployments.config import AppConfig
from deployments.contract import ModelClient
from deployments.web import native_routes, openai_routes, root_routes
from deployments.web.failures import (
    handle_http_exception,
    handle_malformed_request,
    handle_speech_error,
    handle_unknown_error,
)
from deployments.web.layers.body_budget import BodyBudget
from deployments.web.layers.disconnect import StopWhenGone
from deployments.web.layers.key_check import BodyLimit, KeyCheck
from deployments.web.layers.recorder import Recorder
from deployments.web.layers.request_id import RequestId
from deployments.web.schemas import ErrorBody
from deployments.web.services import Services
from models import SpeechError

ROUTES = (native_routes, openai_routes, root_routes)


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
