"""What Ray makes in a process of its own, as against `ModelServer`, which can be made anywhere."""

from deployments import logs
from deployments.config import AppConfig, ModelConfig
from deployments.model_server import EngineFactory, ModelServer, load_configured_engine
from deployments.replica_port import keep_to_node


class ModelReplica(ModelServer):
    """A model server that owns its process: its logging and its ports."""

    def __init__(
        self, config: AppConfig, model: ModelConfig, engine_factory: EngineFactory = load_configured_engine
    ) -> None:
        keep_to_node()
        logs.configure(config.logs_directory, model.id, model.id)
        super().__init__(config, model, engine_factory)
