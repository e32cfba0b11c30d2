"""What Ray makes in a process of its own, as against `ModelServer`, which can be made anywhere."""

from typing import Any

from deployments import logs
from deployments.config import AppConfig
from deployments.replica.model_server import EngineFactory, ModelServer, load_configured_engine
from deployments.replica_port import keep_to_node


class ModelReplica(ModelServer):
    """A model server that owns its process: its logging and its ports. It is empty until it is told its model, which
    stays; Serve makes another replica for another."""

    def __init__(self, engine_factory: EngineFactory = load_configured_engine) -> None:
        keep_to_node()
        self._engine_factory = engine_factory
        self._told: AppConfig | None = None

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve calls this before the first request, whenever something changes that needs no other replica, and when
        it lost track."""
        config = AppConfig.model_validate(user_config)
        if config == self._told:
            return
        [model] = config.models
        logs.configure(config.logs_directory, model.id, model.id)
        if self._told is None:
            super().__init__(config, model, self._engine_factory)
        else:
            self.adopt(config)
        self._told = config
