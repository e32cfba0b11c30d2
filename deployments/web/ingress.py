"""The deployment that carries the HTTP app."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments import logs
from deployments.config import INGRESS, AppConfig
from deployments.fleet.model_client import ServeModelClient
from deployments.fleet.presence import PresenceWatch
from deployments.replica_port import keep_to_node
from deployments.web.app import create_app


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
