"""Run the app in one process to be left alone: start Ray and `serve run`, say when it is ready, drain on a signal.

`serve run` by itself works too, but ends at once on a signal; `serve.delete` lets running requests finish.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from deployments import own_ray
from deployments.config import APP_NAME, EMBEDDED_NOTICE
from deployments.launch import Launch, LaunchError, check_memory, read_launch
from deployments.session import RELOAD_SIGNAL, run_in_own_session

LOGGING = {"log_level": "WARNING", "enable_access_log": False}
POLL_S = 0.5
SAID = {"ready": "ready", "cold": "cold: its first request loads it"}
STOP_S = 10.0  # what replicas take to end, beyond finishing what runs


def start(launch: Launch, directory: Path) -> str:
    """A Ray of our own, its files below `directory`, and the app in it; returns Ray's address before the models are
    loaded."""
    address = own_ray.start(directory, launch.memory_bytes)
    from ray import serve  # not before: the environment is read when it is imported

    # `serve run` finds Serve started, and with less to say than it would have by default.
    serve.start(proxy_location="HeadOnly", http_options=dict(launch.http_options), logging_config=LOGGING)
    deploy(launch)
    return address


def deploy(launch: Launch) -> None:
    """Put the app of the deployment file in place of the one that runs, which finishes what it has begun."""
    from ray.serve.scripts import cli

    cli.main(["run", "--non-blocking", str(launch.path)], standalone_mode=False)


def wait_until_ready(launch: Launch, stopping: threading.Event) -> bool:
    """Tell of each model that becomes ready; True when all are that are not left cold. Raises LaunchError when the app
    cannot start."""
    told: dict[str, str] = {}
    awaited = {model.id: "ready" if model.min_replicas else "cold" for model in launch.config.models}
    while not stopping.wait(POLL_S):
        for model_id, state in sorted(_health(launch).items()):
            if state in ("ready", awaited.get(model_id)) and model_id not in told:
                told[model_id] = state
                say(f"{model_id} is {SAID[state]} ({len(told)} of {len(awaited)})")
        if told.keys() == awaited.keys():
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
  export {own_ray.LOCAL}=0 RAY_ADDRESS={ray_address} RAY_AUTH_MODE=token

To read {launch.path} again, finishing what runs: kill -USR1 {os.getppid()}

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
        check_memory(launch)
    except LaunchError as error:
        say(str(error))
        return 1
    stopping, reloading = threading.Event(), threading.Event()
    return run_in_own_session(
        lambda: run(launch, stopping, reloading),
        lambda number: (reloading if number == RELOAD_SIGNAL else stopping).set(),
    )


def run(launch: Launch, stopping: threading.Event, reloading: threading.Event) -> int:
    """Start, serve until it is time to stop, stop; returns the exit status."""
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="qwen3-tts-"))  # where only we may look in
    say(f"starting {len(launch.config.models)} models, weights: {launch.config.weights}")
    if launch.config.weights_source == "embedded":
        say(EMBEDDED_NOTICE)
    try:
        ray_address = start(launch, directory)
        if wait_until_ready(launch, stopping):
            say(f"up after {time.monotonic() - began:.0f} s")
            print(greeting(launch, ray_address), flush=True)
            while not stopping.wait(POLL_S):
                if reloading.is_set():
                    reloading.clear()
                    launch = reload(launch)
    except LaunchError as error:
        say(f"{error} (Ray's logs: {directory}/ray/session_latest/logs)")
        return 1
    finally:
        say("stopping: finishing what is running")
        stop(max(model.drain_s for model in launch.config.models) + STOP_S)
    shutil.rmtree(directory, ignore_errors=True)
    say("stopped")
    return 0


def reload(launch: Launch) -> Launch:
    """The deployment file as it is now, deployed; or, where it cannot be, the one that runs on."""
    try:
        new = read_launch(launch.path)
        check_memory(new)
    except LaunchError as error:
        say(f"not reloaded: {error}")
        return launch
    say(f"deploying {new.path} again: what runs is finished")
    deploy(new)
    return new


if __name__ == "__main__":
    sys.exit(main())
