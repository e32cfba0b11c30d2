"""What is to be launched: the deployment file, read and checked whole before anything is started or changed."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from deployments import memory_budget
from deployments.config import INGRESS, LOGS_VARIABLE, MIB, RESIDENCY_POLICY, VOICES_VARIABLE, AppConfig, is_loopback
from deployments.keys import KeyFileError, KeyRing, read_keys
from deployments.machine import read_node
from models import SpeechError

if TYPE_CHECKING:
    from ray.serve.schema import HTTPOptionsSchema, ServeApplicationSchema, ServeDeploySchema

Validated = TypeVar("Validated", bound=BaseModel)

BUILDER = "deployments.app:build"
SAID_BY_ARGS = ("user_config", "ray_actor_options", "autoscaling_config", "num_replicas")  # deployments/app.py
SHIPPED_FILE = Path(__file__).with_name("serve_config.yaml")  # a link to the repository's; in a wheel the file itself
RAY_BYTES = 750 * MIB  # Ray's own processes and the ingress: docs/RELIABILITY.md


class LaunchError(Exception):
    """The app cannot be started, or not in this way; the message says why and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the launcher needs to know of the deployment file."""

    path: Path
    deployment: "ServeDeploySchema"  # the whole file as Ray Serve takes it
    app: "ServeApplicationSchema"  # the part of it that is ours
    config: AppConfig  # its arguments, with the overrides of the environment

    @property
    def http_options(self) -> "HTTPOptionsSchema":
        return self.deployment.http_options

    @property
    def memory_bytes(self) -> int:
        """What replicas may take together: the machine's memory, or the part of it that is configured, without Ray."""
        granted = read_node().memory_bytes
        configured = self.config.memory_mb
        return (granted if configured is None else min(granted, configured * MIB)) - RAY_BYTES

    @property
    def needs_key(self) -> bool:
        """Whether clients must send an API key."""
        return KeyRing(self.config).required

    @property
    def url(self) -> str:
        """Where this machine reaches the server, whatever it listens on."""
        host = "127.0.0.1" if self.http_options.host in ("0.0.0.0", "::") else self.http_options.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.http_options.port}"


def read_launch(path: Path) -> Launch:
    """Raises LaunchError for a file that cannot be served, naming the key that is to blame, or that opens the server
    to everybody."""
    try:
        launch = _parse(path, _document(path))
        _check_residency(launch)
        _check_places(launch)
        _check_doors(launch)
    except LaunchError as error:
        raise LaunchError(f"{path}: {error}") from error
    return launch


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LaunchError(f"cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise LaunchError(f"not a YAML file: {one_line(error)}") from error
    if not isinstance(document, Mapping):
        raise LaunchError("not a deployment file: it has no keys")
    return cast(Mapping[str, Any], document)


def _parse(path: Path, document: Mapping[str, Any]) -> Launch:
    # Not before: own_ray has to set the environment that it reads when it is imported.
    from ray.serve.schema import ServeDeploySchema

    place, arguments = _our_arguments(document)
    config = _with_environment(_validated(AppConfig, arguments, f"applications.{place}.args"))
    deployment = _validated(ServeDeploySchema, document)
    _refuse_unknown(document, deployment)
    app = deployment.applications[place]
    if app.route_prefix != "/":
        raise LaunchError(f"applications.{place}.route_prefix: must be /")
    _check_options(app, config, f"applications.{place}.deployments")
    return Launch(path, deployment, app, config)


def _with_environment(config: AppConfig) -> AppConfig:
    try:
        return config.with_environment()
    except ValueError as error:
        raise LaunchError(f"environment: {one_line(error)}") from error


def _check_options(app: "ServeApplicationSchema", config: AppConfig, at: str) -> None:
    """A file may give Serve's options to our deployments, except for those that follow from the arguments."""
    for place, options in enumerate(app.deployments):
        if options.name not in {INGRESS, *(model.id for model in config.models)}:
            raise LaunchError(f"{at}.{place}.name: {options.name} is not a deployment of this app")
        for key in options.model_fields_set & set(SAID_BY_ARGS):
            raise LaunchError(f"{at}.{place}.{key}: follows from the app's args")


def _our_arguments(document: Mapping[str, Any]) -> tuple[int, Any]:
    """Where in the file our application stands, and its arguments."""
    apps: object = document.get("applications")
    if not isinstance(apps, Sequence) or not apps:
        raise LaunchError("applications: must be a list that holds the app")
    for place, app in enumerate(cast(Sequence[object], apps)):
        if isinstance(app, Mapping) and cast(Mapping[str, Any], app).get("import_path") == BUILDER:
            return place, cast(Mapping[str, Any], app).get("args", {})
    raise LaunchError(f"applications.0.import_path: must be {BUILDER}; for another app there is `serve run`")


def _validated(kind: type[Validated], values: Any, at: str = "") -> Validated:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (at, *first["loc"]) if part != "")
        message = "is not a known key" if first["type"] == "extra_forbidden" else one_line(first["msg"])
        raise LaunchError(f"{key or 'not a deployment file'}: {message}") from error


def _refuse_unknown(document: Mapping[str, Any], known: BaseModel, at: str = "") -> None:
    """Ray Serve passes over most keys that it does not know; one that is misspelt shall be told of."""
    for key, value in document.items():
        if key not in type(known).model_fields:
            raise LaunchError(f"{at}{key}: is not a known key")
        part = getattr(known, key)
        if isinstance(part, BaseModel):
            _refuse_unknown(value, part, f"{at}{key}.")
        elif isinstance(part, list):
            for place, each in enumerate(cast(list[object], part)):
                if isinstance(each, BaseModel):
                    _refuse_unknown(value[place], each, f"{at}{key}.{place}.")


def _check_residency(launch: Launch) -> None:
    policy = (launch.app.autoscaling_policy or {}).get("policy_function")
    if policy != RESIDENCY_POLICY and not all(model.min_replicas for model in launch.config.models):
        raise LaunchError(
            f"models with min_replicas 0 need `autoscaling_policy: {{policy_function: {RESIDENCY_POLICY}}}` "
            "beside the app's name, without which an idle model does not give way to another"
        )


def _check_places(launch: Launch) -> None:
    """The folders that are written to, made where they are not there, and the file of keys."""
    for key, variable in (("voices", VOICES_VARIABLE), ("logs", LOGS_VARIABLE)):
        folder: Path | None = None
        try:
            folder = getattr(launch.config, f"{key}_directory")
            assert folder is not None
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except (OSError, RuntimeError) as error:  # of Path.home, where there is none
            raise LaunchError(f"{key}: {error}; name a folder that can be written, here or in {variable}") from error
    try:
        read_keys(launch.config.keys_path)
    except FileNotFoundError:
        return  # no keys
    except (OSError, RuntimeError, KeyFileError) as error:
        raise LaunchError(f"keys_file: {error}") from error


def _check_doors(launch: Launch) -> None:
    if not launch.needs_key and not is_loopback(launch.http_options.host):
        raise LaunchError(
            f"http_options.host: {launch.http_options.host} can be reached by others: make an API key with "
            "`qwen3-tts key add NAME`, or set host to 127.0.0.1"
        )


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


def one_line(text: object) -> str:
    """Whatever somebody else says, without its line breaks."""
    return " ".join(str(text).split())
