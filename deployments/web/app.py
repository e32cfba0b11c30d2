"""The HTTP app over any models: routes, layers, and every error in one form; and the deployment that carries it."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments import logs
from deployments.config import INGRESS, AppConfig
from deployments.contract import ModelClient
from deployments.fleet import PresenceWatch, ServeModelClient
from deployments.replica_port import keep_to_node
from deployments.web import native_routes, openai_routes, root_routes
from deployments.web.failures import (
    handle_http_exception,
    handle_malformed_request,
    handle_speech_error,
    handle_unknown_error,
)
from deployments.web.layers.body_budget import BodyBudget
from deployments.web.layers.body_limit import BodyLimit
from deployments.web.layers.disconnect import StopWhenGone
from deployments.web.layers.key_check import KeyCheck
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


class Ingress:
    """Made in a replica, where the handles of the models are known. Another configuration makes another app here:
    what the former one has begun it brings to its end."""

    def __init__(self, models: Mapping[str, DeploymentHandle[Any]]) -> None:
        keep_to_node()
        watch = PresenceWatch(serve.get_replica_context().app_name)
        self._clients = {model_id: ServeModelClient(handle, watch) for model_id, handle in models.items()}
        self._config: AppConfig | None = None
        self._current: FastAPI | None = None

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve calls this before the first request, whenever the configuration changes, and when it lost track."""
        config = AppConfig.model_validate(user_config)
        if config == self._config:
            return
        logs.configure(config.logs_directory, INGRESS)
        former = None if self._current is None else self._current.state.services
        self._current = create_app(config, self._clients, former)
        self._config = config

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Serve asks for the app, and has it start up, before it says the configuration."""
        return Router(redirect_slashes=False, default=self._answer)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._current is not None, "Serve has called reconfigure"
        await self._current(scope, receive, send)
