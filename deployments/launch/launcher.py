"""Run the app in one process to be left alone: start Ray and `serve run`, say when it is ready, drain on a signal.

`serve run` by itself works too, but ends at once on a signal; `serve.delete` lets running requests finish.
"""

import json
import os
import shutil
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from deployments.config import EMBEDDED_NOTICE
from deployments.launch import own_ray
from deployments.launch.deployment_file import Launch, LaunchError, check_memory, read_launch
from deployments.launch.rollout import Rollout
from deployments.launch.session import RELOAD_SIGNAL, run_in_own_session

LOGGING = {"log_level": "WARNING", "enable_access_log": False}
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the server is here, whatever proxy there is
POLL_S = 0.5
SAID = {"ready": "ready", "cold": "cold: its first request loads it"}
STOP_S = 10.0  # what replicas take to end, beyond finishing what runs


def start(launch: Launch, directory: Path) -> str:
    """A Ray of our own, its files below `directory`, and Serve in it, with no app yet; returns Ray's address."""
    try:
        own_ray.make_token()
    except (OSError, RuntimeError) as error:
        raise LaunchError(
            f"Ray keeps its token in the home folder, which has to be there: {error}; set HOME"
        ) from error
    address = own_ray.start(directory, launch.memory_bytes)
    from ray import serve  # not before: the environment is read when it is imported

    serve.start(
        proxy_location=launch.deployment.proxy_location,
        http_options=launch.http_options.model_dump(),
        grpc_options=launch.deployment.grpc_options.model_dump(),
        controller_options=launch.deployment.controller_options,
        logging_config=LOGGING,
    )
    return address


def wait_until_ready(rollout: Rollout, stopping: threading.Event) -> bool:
    """Tell of each model that becomes ready; True when all are that are not left cold. Raises LaunchError when the app
    cannot start."""
    launch = rollout.launch
    told: dict[str, str] = {}
    awaited = {model.id: "ready" if model.min_replicas else "cold" for model in launch.config.models}
    while not stopping.wait(POLL_S):
        rollout.look()
        for model_id, state in sorted(health(launch).items()):
            if state in ("ready", awaited.get(model_id)) and model_id not in told:
                told[model_id] = state
                say(f"{model_id} is {SAID[state]} ({len(told)} of {len(awaited)})")
        if told.keys() == awaited.keys() and rollout.settled:
            return True
    return False


def health(launch: Launch) -> dict[str, str]:
    """State by model; empty until the server answers."""
    try:
        with DIRECT.open(f"{launch.url}/health", timeout=10) as answer:
            return json.load(answer)["models"]
    except (OSError, ValueError, KeyError):
        return {}


def stop(launch: Launch) -> None:
    """Take no new work, finish what runs for as long as `drain_s` says, leave nothing behind."""
    import ray
    from ray import serve

    if not ray.is_initialized():
        return
    name = launch.app.name
    serve.delete(name, _blocking=False)
    deadline = time.monotonic() + max(model.drain_s for model in launch.config.models) + STOP_S
    while name in serve.status().applications and time.monotonic() < deadline:
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


def serve_file(path: Path) -> int:
    """Serve as the deployment file says, until a signal comes; returns the exit status."""
    stopping, reloading = threading.Event(), threading.Event()
    return run_in_own_session(
        lambda: run(path, stopping, reloading),
        lambda number: (reloading if number == RELOAD_SIGNAL else stopping).set(),
    )


def run(path: Path, stopping: threading.Event, reloading: threading.Event) -> int:
    """Start, serve until it is time to stop, stop; returns the exit status."""
    began = time.monotonic()
    own_ray.set_environment()
    try:
        launch = read_launch(path)
        check_memory(launch)
    except LaunchError as error:
        say(str(error))
        return 1
    directory = Path(tempfile.mkdtemp(prefix="qwen3-tts-"))  # where only we may look in
    say(f"starting {len(launch.config.models)} models of {path}, weights: {launch.config.weights}")
    if launch.config.weights_source == "embedded":
        say(EMBEDDED_NOTICE)
    try:
        ray_address = start(launch, directory)
        rollout = Rollout()
        rollout.deploy(launch)
        if wait_until_ready(rollout, stopping):
            say(f"up after {time.monotonic() - began:.0f} s")
            print(greeting(launch, ray_address), flush=True)
            watch(rollout, stopping, reloading)
            launch = rollout.launch
    except LaunchError as error:
        say(f"{error} (Ray's logs: {directory}/ray/session_latest/logs)")
        return 1
    finally:
        say("stopping: finishing what is running")
        stop(launch)
    shutil.rmtree(directory, ignore_errors=True)
    say("stopped")
    return 0


def watch(rollout: Rollout, stopping: threading.Event, reloading: threading.Event) -> None:
    """Serve until it is time to stop, and change to the deployment file as it is then when that is asked for."""
    while not stopping.wait(POLL_S):
        try:
            if reloading.is_set():
                reloading.clear()
                rollout.reload()
                say(f"deploying {rollout.launch.path} again: what runs is finished")
            if not rollout.settled and (outcome := rollout.look()) is not None:
                say(outcome)
        except LaunchError as error:
            say(f"not reloaded: {error}")
