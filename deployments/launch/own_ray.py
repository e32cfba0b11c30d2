"""A Ray for this server alone: on this machine only, closed to others, and with no more processes than it takes."""

import logging
import os
import secrets
import tempfile
from pathlib import Path

OBJECT_STORE_BYTES = 128 * 1024 * 1024  # what travels between processes is small
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # where Ray looks for a token before it looks into ~/.ray
LOCAL = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # in spite of its name, 0 means: one machine, so all ports on loopback
# Said to Ray through the environment, its only way; what the user has set stays.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # budgets are enforced by the replicas; Ray's killer often hits the innocent
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",  # an engine that is stuck would not drain either
    "RAY_worker_niceness": "0",  # Ray's is 15: everything else would go first while somebody waits for speech
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # a dead proxy is replaced at the third check; Ray's period is 10
    LOCAL: "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.web.layers.proxy:middleware",
    "RAY_AUTH_MODE": "token",  # said here, so that Ray need not warn that it is so
    "RAY_num_workers_soft_limit": "0",  # idle workers end: replicas get processes of their own anyway
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning about accelerators that are not there
    # What a server that nobody asks does all day: two fifths less than with Ray's own periods (docs/RELIABILITY.md).
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "10000",
    "RAY_SERVE_EVENT_LOOP_MONITORING_INTERVAL_S": "60",
    "RAY_raylet_report_resources_period_milliseconds": "1000",  # to other machines' eyes, of which there are none
    "RAY_task_events_report_interval_ms": "0",  # for the dashboard
    "RAY_enable_metrics_collection": "0",  # Ray's; ours are at /metrics
    "RAY_event_stats": "0",
    "REPORTER_UPDATE_INTERVAL_MS": "60000",  # the agent of the dashboard, for it too
    "SCAN_EVENT_DIR_INTERVAL_SECONDS": "60",
}


def set_environment() -> None:
    """To be called before Ray is imported: that is when it reads the environment."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def make_token() -> None:
    """Ray's token where there is none yet. Ray would write it for everybody to read, and whoever has it may run code
    here. Raises OSError, and RuntimeError where there is no home."""
    if any(os.environ.get(name) for name in TOKENS):
        return
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".auth_token-") as file:  # of mode 600
        file.write(secrets.token_hex(32))
        file.flush()
        try:
            os.link(file.name, path)
        except FileExistsError:
            path.chmod(0o600)


def start(directory: Path, memory_bytes: int) -> str:
    """Start it, with `memory_bytes` for replicas and its sockets and logs below `directory`; returns its address."""
    import ray

    ray.init(
        address="local",
        _temp_dir=str(directory / "ray"),  # Ray opens this one to everybody, so it lies in another
        namespace="serve",
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        _memory=memory_bytes,
        logging_level=logging.WARNING,
    )
    _dismiss_helpers()
    return ray.get_runtime_context().gcs_address


def _dismiss_helpers() -> None:
    """End three processes that Ray starts whatever it is told, 170 MiB and 1.5 % of a core while nobody
    asks: one looks for machines to rent, one copies logs to this terminal, one shows a dashboard that is off."""
    from ray._private import worker

    node = worker._global_node  # pyright: ignore[reportPrivateUsage]
    assert node is not None, "Ray has been started"
    node.kill_monitor()
    node.kill_log_monitor()
    node.kill_dashboard()
