"""The Ray Serve application: one deployment for each model, and the ingress before them.

`serve run serve_config.yaml` calls `build` with the file's `args`. This module must not postpone the evaluation of
annotations: Serve reads the type of `args` to know that they are an AppConfig.
"""

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import BackpressureConfig

from deployments import residency
from deployments.config import INGRESS, AppConfig, ModelConfig
from deployments.replica import EngineFactory, ModelReplica, load_configured_engine
from deployments.web.app import Ingress

HEALTH_CHECK_PERIOD_S = 2.0  # a dead replica is noticed at the next check, a sick one at the third
HEALTH_CHECK_TIMEOUT_S = 60.0  # a replica that is silent three times as long is replaced: it may only lack a processor
INGRESS_CPUS = 0.1
LOADED_VARIABLE = "QWEN3_TTS_LOADED_WITH"  # in a replica's environment; nobody reads it but Serve, to compare
METRICS_S = 1.0  # between words to Serve's controller about requests: what a cold start waits for at most
INGRESS_REQUESTS = 1000  # the ingress only waits; what may be refused is decided behind it
INGRESS_QUEUE = 200  # beyond those, while it is restarting or has its hands full
FULL = BackpressureConfig(status_code=429, retry_after_s=5)  # what Serve says where a queue of its own is full


def build(args: AppConfig) -> Application:
    """The application of a configuration, with the overrides of the environment."""
    return assemble(args.with_environment(), load_configured_engine)


def assemble(config: AppConfig, engine_factory: EngineFactory) -> Application:
    """The same with any engines."""
    options = deployment_options(config)
    models = {
        model.id: serve.deployment(name=model.id, **options[model.id])(ModelReplica).bind(engine_factory)
        for model in config.models
    }
    return serve.deployment(name=INGRESS, **options[INGRESS])(serve.ingress()(Ingress)).bind(models)


def deployment_options(config: AppConfig) -> dict[str, dict[str, Any]]:
    """Serve's options of each deployment by its name. They say everything that may change while the server runs: none
    of it is bound, so that Serve can tell what a changed file changes (deployments/launch/rollout.py)."""
    return {INGRESS: _ingress_options(config)} | {model.id: model_options(config, model) for model in config.models}


def _ingress_options(config: AppConfig) -> dict[str, Any]:
    return {
        "num_replicas": 1,
        "max_ongoing_requests": INGRESS_REQUESTS,
        "max_queued_requests": INGRESS_QUEUE,
        "backpressure_config": FULL,
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        "graceful_shutdown_timeout_s": max(model.drain_s for model in config.models),
        "ray_actor_options": {"num_cpus": INGRESS_CPUS},
        "user_config": config.model_dump(mode="json"),
    }


def model_options(config: AppConfig, model: ModelConfig) -> dict[str, Any]:
    """One replica that Ray places where its memory budget is free. Another one takes its place when what its process
    was loaded with changes, which Serve sees by the actor's options; the rest of `user_config` it may be told of."""
    return {
        "autoscaling_config": _scaling(config, model),
        "max_ongoing_requests": model.max_ongoing_requests,
        "max_queued_requests": model.max_ongoing_requests,  # while there is no replica to decide
        "backpressure_config": FULL,
        "graceful_shutdown_timeout_s": model.drain_s,
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        "ray_actor_options": {
            "num_cpus": model.num_cpus,
            "memory": config.budget_bytes(model),
            "runtime_env": {"env_vars": {LOADED_VARIABLE: config.loaded_with(model)}},
        },
        "user_config": config.for_replica(model).model_dump(mode="json"),
    }


def _scaling(config: AppConfig, model: ModelConfig) -> dict[str, Any]:
    """One replica for ever, or one that comes and goes as deployments/residency.py decides."""
    always = residency.settings(config.budget_bytes(model)) | {"min_replicas": model.min_replicas, "max_replicas": 1}
    if model.min_replicas:
        return always
    return always | {
        "target_ongoing_requests": model.max_ongoing_requests,
        # The setting in the environment that shall replace metrics_interval_s is read by nothing in Ray 2.60.
        "metrics_interval_s": METRICS_S,
        "look_back_period_s": 2 * METRICS_S,
        "aggregation_function": "max",  # a request within the last two seconds is one
        "downscale_to_zero_delay_s": model.idle_s,
    }
