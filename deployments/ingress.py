"""The deployment that carries the HTTP app."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from deployments import logs
from deployments.config import APP_NAME, AppConfig
from deployments.http_app import create_app
from deployments.model_client import ServeModelClient
from deployments.presence import PresenceWatch
from deployments.replica_port import keep_to_node


class Ingress:
    """Made in a replica, where the handles of the models are known."""

    def __init__(self, config: AppConfig, models: Mapping[str, DeploymentHandle[Any]]) -> None:
        keep_to_node()
        logs.configure(config.logs_directory, "ingress")
        self._config = config
        watch = PresenceWatch(APP_NAME)
        self._clients = {model_id: ServeModelClient(handle, watch) for model_id, handle in models.items()}

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._config, self._clients)
