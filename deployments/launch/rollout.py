"""Deployment files put into a running Serve, one after the other.

Serve replaces every replica of an app whose arguments change, but only what is concerned when options of a deployment
do. So the app is built from the arguments it came with, and everything that a later file changes is said as options of
its deployments: Serve tells replicas of what they can be told (`user_config`), and replaces those whose actor's options
are others. Only another set of models is another app.

A file that turns out not to be servable once it is tried, such as one with weights that cannot be loaded, is followed
by the one before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.launch.deployment_file import Launch, LaunchError, check_memory, one_line, read_launch

if TYPE_CHECKING:
    from ray.serve.schema import ApplicationStatusOverview, ServeDeploySchema

FIXED = ("proxy_location", "grpc_options", "controller_options")  # as http_options, Serve takes them at its start


@dataclass(frozen=True, slots=True)
class Step:
    """A file as it is deployed."""

    launch: Launch
    arguments: Mapping[str, Any]  # that the app was built from


class Rollout:
    """What Serve runs, and what it is on its way to."""

    def __init__(self) -> None:
        self._runs: Step | None = None
        self._coming: Step | None = None

    @property
    def launch(self) -> Launch:
        """The latest file that was deployed."""
        step = self._coming or self._runs
        assert step is not None, "something was deployed"
        return step.launch

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way."""
        return self._coming is None

    def deploy(self, launch: Launch) -> None:
        """Begin to put a file in place of the one that runs, which finishes what it has begun."""
        latest = self._coming or self._runs
        same_models = latest is not None and _ids(latest.launch) == _ids(launch)
        self._deploy(Step(launch, latest.arguments if latest is not None and same_models else launch.app.args))

    def reload(self) -> None:
        """Read the file again and deploy it. Raises LaunchError, and leaves everything as it is, for one that cannot
        be served."""
        new = read_launch(self.launch.path)
        check_fixed(self.launch, new)
        check_memory(new)
        self.deploy(new)

    def look(self) -> str | None:
        """What came of the latest file, once: None while that is open or has been said. Raises LaunchError when the
        first one cannot be served."""
        app = _status(self.launch)
        if self._coming is None or app is None:
            return None
        if app.status == "RUNNING":
            self._runs, self._coming = self._coming, None
            return "it is deployed"
        if app.status != "DEPLOY_FAILED":
            return None
        reason = _reason(app)
        if self._runs is None:
            raise LaunchError(f"the app could not be deployed: {reason}")
        if self._coming is self._runs:
            self._coming = None
            return f"the former file cannot be served any more either: {reason}"
        self._deploy(self._runs)
        return f"not reloaded, the former file is deployed again: {reason}"

    def _deploy(self, step: Step) -> None:
        from ray.exceptions import RayError
        from ray.serve.context import _get_global_client  # pyright: ignore[reportPrivateUsage]

        client = _get_global_client()
        assert client is not None, "Serve was started"
        try:
            client.deploy_apps(_schema(step))
        except RayError as error:
            raise LaunchError(f"Ray Serve does not take it: {one_line(error)}") from error
        self._coming = step


def _schema(step: Step) -> "ServeDeploySchema":
    """The file with what is said in its arguments as options of deployments. What the file itself says of a deployment
    is Serve's, and stays."""
    from ray.serve.schema import DeploymentSchema

    from deployments.app import deployment_options

    launch = step.launch
    theirs = {each.name: each.model_dump(exclude_unset=True) for each in launch.app.deployments}
    deployments = [
        DeploymentSchema.model_validate({"name": name, **options, **theirs.get(name, {})})
        for name, options in deployment_options(launch.config).items()
    ]
    ours = launch.app.model_copy(update={"args": dict(step.arguments), "deployments": deployments})
    apps = [ours if app is launch.app else app for app in launch.deployment.applications]
    return launch.deployment.model_copy(update={"applications": apps})


def _ids(launch: Launch) -> set[str]:
    return {model.id for model in launch.config.models}


def check_fixed(old: Launch, new: Launch) -> None:
    """Raises LaunchError for a change that only a new start can make."""
    changed = [key for key in FIXED if getattr(old.deployment, key) != getattr(new.deployment, key)]
    changed += [f"http_options.{key}" for key, value in new.http_options if value != getattr(old.http_options, key)]
    if old.app.name != new.app.name:
        changed.append("the app's name")
    if old.config.memory_mb != new.config.memory_mb:
        changed.append("memory_mb")
    if changed:
        raise LaunchError(f"{', '.join(changed)}: cannot change while the server runs; stop it and start it again")


def _status(launch: Launch) -> "ApplicationStatusOverview | None":
    """What Serve's controller says of the app; None where it does not know it, or is just being replaced itself."""
    from ray import serve
    from ray.exceptions import RayError

    try:
        return serve.status().applications.get(launch.app.name)
    except RayError:
        return None


def _reason(app: "ApplicationStatusOverview") -> str:
    """The last line of each message: the others are tracebacks."""
    messages = [app.message, *(deployment.message for deployment in app.deployments.values())]
    return "; ".join(message.strip().rpartition("\n")[2].strip() for message in messages if message.strip())
