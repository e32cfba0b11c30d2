"""What is to be launched: the deployment file, read and checked before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployments import memory_budget
from deployments.config import APP_NAME, MIB, RESIDENCY_POLICY, AppConfig, is_loopback
from deployments.keys import KeyRing
from deployments.node import read_node
from models import SpeechError

RAY_BYTES = 750 * MIB  # Ray's own processes and the ingress: docs/RELIABILITY.md


class LaunchError(Exception):
    """The app cannot be started; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the launcher needs to know of the deployment file."""

    path: Path
    http_options: Mapping[str, Any]
    config: AppConfig

    @property
    def memory_bytes(self) -> int:
        """What replicas may take together: the machine's memory, or the part of it that is configured, without Ray."""
        granted = read_node().memory_bytes
        configured = self.config.memory_mb
        return (granted if configured is None else min(granted, configured * MIB)) - RAY_BYTES

    @property
    def host(self) -> str:
        """Where it listens; Ray Serve's default is everywhere."""
        return self.http_options.get("host", "0.0.0.0")

    @property
    def needs_key(self) -> bool:
        """Whether clients must send an API key."""
        return KeyRing(self.config).required

    @property
    def url(self) -> str:
        """Where this machine reaches the server, whatever it listens on."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.http_options.get('port', 8000)}"


def read_launch(path: Path) -> Launch:
    """Raises LaunchError for a file that is not a deployment file, or that opens the server to everybody."""
    try:
        document: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        http = dict(document.get("http_options", {}))
        [app] = [app for app in document["applications"] if app["name"] == APP_NAME]
        config = AppConfig.model_validate(app["args"]).with_environment()
        policy = (app.get("autoscaling_policy") or {}).get("policy_function")
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LaunchError(f"{path} is not a deployment file: {error}") from error
    launch = Launch(path, http, config)
    if policy != RESIDENCY_POLICY and not all(model.min_replicas for model in config.models):
        raise LaunchError(
            f"{path}: models with min_replicas 0 need `autoscaling_policy: {{policy_function: {RESIDENCY_POLICY}}}` "
            "beside the app's name, without which an idle model does not give way to another"
        )
    if not launch.needs_key and not is_loopback(launch.host):
        raise LaunchError(
            f"{path} listens on {launch.host}, which others can reach: make an API key with scripts/key, or set host "
            "to 127.0.0.1"
        )
    return launch


def check_memory(launch: Launch) -> None:
    """Raises LaunchError when a budget is too small for its model, or the machine for the budgets: Ray would wait for
    memory without a word."""
    config = launch.config
    try:
        for model in config.models:
            memory_budget.preflight(config, model)
    except SpeechError as error:
        raise LaunchError(str(error)) from error
    needed, available = config.least_memory_bytes, launch.memory_bytes
    if needed > available:
        budgets = ", ".join(
            f"{model.id} {config.budget_bytes(model) / MIB:.0f}{'' if model.min_replicas else ' (may be cold)'}"
            for model in config.models
        )
        raise LaunchError(
            f"the models need {needed / MIB:.0f} MiB at the same time (budgets: {budgets}), this machine has "
            f"{available / MIB:.0f} MiB to give: lower budgets and slots in {launch.path}, or set min_replicas to 0"
        )
