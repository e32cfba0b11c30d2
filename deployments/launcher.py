"""Run the app in one process to be left alone: start Ray and `serve run`, say when it is ready, drain on a signal.

`serve run` by itself works too, but ends at once on a signal; `serve.delete` lets running requests finish.
"""

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployments.config import APP_NAME, EMBEDDED_NOTICE, MIB, AppConfig, is_loopback
from deployments.keys import KeyRing
from deployments.session import SIGNALS, run_in_own_session

OBJECT_STORE_BYTES = 128 * 1024 * 1024  # what travels between processes is small
LOGGING = {"log_level": "WARNING", "enable_access_log": False}
RAY_TOKEN = Path.home() / ".ray" / "auth_token"
POLL_S = 0.5
STOP_S = 10.0  # what replicas take to end, beyond finishing what runs
LOCAL_RAY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # in spite of its name, 0 means: one machine, so all ports on loopback
# Said to Ray through the environment, its only way; what the user has set stays.
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # budgets are enforced by the replicas; Ray's killer often hits the innocent
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",  # an engine that is stuck would not drain either
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # a dead proxy is replaced at the third check; Ray's period is 10
    LOCAL_RAY: "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.proxy:middleware",
    "RAY_AUTH_MODE": "token",  # said here, so that Ray need not warn that it is so
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning about accelerators that are not there
}


class LaunchError(Exception):
    """The app cannot be started; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the launcher needs to know of the deployment file."""

    path: Path
    http_options: Mapping[str, Any]
    config: AppConfig

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
        [arguments] = [app["args"] for app in document["applications"] if app["name"] == APP_NAME]
        config = AppConfig.model_validate(arguments).with_environment()
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LaunchError(f"{path} is not a deployment file: {error}") from error
    launch = Launch(path, http, config)
    if not launch.needs_key and not is_loopback(launch.host):
        raise LaunchError(
            f"{path} listens on {launch.host}, which others can reach: make an API key with scripts/key, or set host "
            "to 127.0.0.1"
        )
    return launch


def start(launch: Launch, directory: Path) -> str:
    """A Ray of our own without its dashboard, and the app in it; returns Ray's address before the models are loaded.

    Ray keeps its sockets and logs below `directory`.
    """
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray  # reads the environment when imported
    from ray import serve
    from ray.serve.scripts import cli

    RAY_TOKEN.parent.mkdir(mode=0o700, exist_ok=True)
    ray.init(
        address="local",
        _temp_dir=str(directory / "ray"),  # Ray opens this one to everybody, so it lies in another
        namespace="serve",
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level=logging.WARNING,
    )
    if RAY_TOKEN.exists():
        RAY_TOKEN.chmod(0o600)  # Ray writes it for everybody to read: whoever has it may run code here
    _check_memory(launch, int(ray.cluster_resources().get("memory", 0)))
    # `serve run` finds Serve started, and with less to say than it would have by default.
    serve.start(proxy_location="HeadOnly", http_options=dict(launch.http_options), logging_config=LOGGING)
    cli.main(["run", "--non-blocking", str(launch.path)], standalone_mode=False)
    return ray.get_runtime_context().gcs_address


def _check_memory(launch: Launch, available: int) -> None:
    """Raises LaunchError when Ray could never place all replicas: it would wait for memory without a word."""
    budgets = {model.id: launch.config.budget_bytes(model) for model in launch.config.models}
    if sum(budgets.values()) > available:
        listing = ", ".join(f"{model_id} {size / MIB:.0f}" for model_id, size in budgets.items())
        raise LaunchError(
            f"the memory budgets ({listing}) add up to {sum(budgets.values()) / MIB:.0f} MiB, this machine has "
            f"{available / MIB:.0f} MiB to give: remove models from {launch.path}, or lower their budgets and slots"
        )


def wait_until_ready(launch: Launch, stopping: threading.Event) -> bool:
    """Tell of each model that becomes ready; True when all are. Raises LaunchError when the app cannot start."""
    ready: set[str] = set()
    while not stopping.wait(POLL_S):
        states = _health(launch)
        for model_id in sorted(name for name, state in states.items() if state == "ready" and name not in ready):
            ready.add(model_id)
            say(f"{model_id} is ready ({len(ready)} of {len(launch.config.models)})")
        if len(ready) == len(launch.config.models):
            return True
        _raise_if_failed()
    return False


def _health(launch: Launch) -> dict[str, str]:
    """State by model; empty until the server answers."""
    try:
        with urllib.request.urlopen(f"{launch.url}/health", timeout=10) as answer:
            return json.load(answer)["models"]
    except (OSError, ValueError, KeyError):
        return {}


def _raise_if_failed() -> None:
    from ray import serve

    app = serve.status().applications.get(APP_NAME)
    if app is not None and app.status == "DEPLOY_FAILED":
        reasons = [status.message.strip().rpartition("\n")[2] for status in app.deployments.values() if status.message]
        raise LaunchError("the app could not be deployed: " + "; ".join([app.message, *reasons]))


def stop(drain_s: float) -> None:
    """Take no new work, finish what runs for at most `drain_s`, leave nothing behind."""
    import ray
    from ray import serve

    if not ray.is_initialized():
        return
    serve.delete(APP_NAME, _blocking=False)
    deadline = time.monotonic() + drain_s
    while APP_NAME in serve.status().applications and time.monotonic() < deadline:
        time.sleep(POLL_S)
    ray.shutdown()


def greeting(launch: Launch, ray_address: str) -> str:
    """What to type next."""
    key = ' -H "Authorization: Bearer $KEY"' if launch.needs_key else ""
    curl = f"curl -sS{key} {launch.url}"
    json_header = "-H 'Content-Type: application/json'"
    return f"""
Ready at {launch.url} (documentation: {launch.url}/docs). Try, in another terminal:

  {curl}/api/v1/tts/synthesize {json_header} \\
    -d '{{"text": "Hello, this is a test.", "voice": "narrator_cloned"}}' -o cloned.wav

  {curl}/api/v1/tts/design {json_header} \\
    -d '{{"text": "Hello, this is a test.", "description": "A calm old sailor"}}' -o designed.wav

  {curl}/api/v1/status

Logs, as lines of JSON: {launch.config.logs_directory}/*.jsonl

Deployment handles in Python: ray.init(address="auto") in a process that was told where this Ray is:
  export {LOCAL_RAY}=0 RAY_ADDRESS={ray_address} RAY_AUTH_MODE=token

Ctrl-C stops the server after what is running has finished.
"""


def say(message: str) -> None:
    """To the one who typed the command."""
    print(f"[serve] {message}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.launcher", description=__doc__)
    parser.add_argument("config", nargs="?", type=Path, default=Path("serve_config.yaml"))
    try:
        launch = read_launch(parser.parse_args(arguments).config)
    except LaunchError as error:
        say(str(error))
        return 1
    return run_in_own_session(lambda: run(launch))


def run(launch: Launch) -> int:
    """Start, wait for a signal, stop; returns the exit status."""
    stopping = threading.Event()
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="qwen3-tts-"))  # where only we may look in
    say(f"starting {len(launch.config.models)} models, weights: {launch.config.weights}")
    if launch.config.weights_source == "embedded":
        say(EMBEDDED_NOTICE)
    try:
        stop_on_signals(stopping)
        ray_address = start(launch, directory)
        stop_on_signals(stopping)  # again: Ray sets handlers of its own
        if wait_until_ready(launch, stopping):
            say(f"all models loaded in {time.monotonic() - began:.0f} s")
            print(greeting(launch, ray_address), flush=True)
            stopping.wait()
    except LaunchError as error:
        say(f"{error} (Ray's logs: {directory}/ray/session_latest/logs)")
        return 1
    finally:
        say("stopping: finishing what is running")
        stop(max(model.drain_s for model in launch.config.models) + STOP_S)
    shutil.rmtree(directory, ignore_errors=True)
    say("stopped")
    return 0


def stop_on_signals(stopping: threading.Event) -> None:
    """From here on a signal only says that it is time to stop."""
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: stopping.set())


if __name__ == "__main__":
    sys.exit(main())
