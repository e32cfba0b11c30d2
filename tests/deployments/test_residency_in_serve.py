"""The policy in the hands of Ray Serve's own controller code, without a cluster: the shipped file on 4 GB."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from ray.serve._private.autoscaling_state import ApplicationAutoscalingState
from ray.serve._private.common import (
    DeploymentHandleSource,
    DeploymentID,
    HandleMetricReport,
    ReplicaID,
    TimeStampedValue,
)
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from deployments import residency
from deployments.app import model_options
from deployments.config import MIB, RESIDENCY_POLICY, AppConfig
from deployments.launch.deployment_file import RAY_BYTES

CONFIG_FILE = Path(__file__).parents[2] / "serve_config.yaml"


class Controller:
    """What Serve's controller does about replicas, a tick at a time. Models are cold at first."""

    def __init__(self, config: AppConfig) -> None:
        self._state = ApplicationAutoscalingState("tts")
        self._ids = {model.id: DeploymentID(name=model.id, app_name="tts") for model in config.models}
        self.targets: dict[str, int] = {}
        for model in config.models:
            scaling = AutoscalingConfig(**model_options(config, model)["autoscaling_config"])
            deployment = SimpleNamespace(gang_scheduling_config=None, autoscaling_config=scaling)
            info = SimpleNamespace(deployment_config=deployment, target_capacity=None, target_capacity_direction=None)
            self.targets[model.id] = self._state.register_deployment(self._ids[model.id], cast(Any, info), 0)
        self._state.register(AutoscalingPolicy(policy_function=RESIDENCY_POLICY))

    def tick(self) -> dict[str, int]:
        """Replicas that shall be there."""
        decided = self._state.get_decision_num_replicas({self._ids[name]: n for name, n in self.targets.items()})
        for deployment, replicas in decided.items():
            if replicas > self.targets[deployment.name]:
                self._state.record_scale_up(deployment)
            self.targets[deployment.name] = replicas
        return dict(self.targets)

    def replica(self, name: str, runs: bool) -> None:
        """A replica is there, or is not."""
        replicas = [ReplicaID("one", self._ids[name])] if runs else []
        self._state.update_running_replica_ids(self._ids[name], replicas)

    def requests(self, name: str, waiting: int) -> None:
        """What a handle says."""
        time.sleep(0.02)  # a later report is a newer one
        now = time.time()
        self._state.record_request_metrics_for_handle(
            HandleMetricReport(
                deployment_id=self._ids[name],
                handle_id=name,
                actor_id="ingress",
                handle_source=DeploymentHandleSource.REPLICA,
                queued_requests=[TimeStampedValue(now, waiting)],
                metrics={},
                timestamp=now,
            )
        )


def test_one_model_follows_the_other_where_there_is_room_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "_memory", lambda: 4096 * MIB - RAY_BYTES)
    arguments = yaml.safe_load(CONFIG_FILE.read_text())["applications"][0]["args"]
    controller = Controller(AppConfig.model_validate({**arguments, "weights": "hub"}))
    base, design = controller.targets
    assert controller.tick() == {base: 0, design: 0}
    controller.requests(base, 1)
    assert controller.tick() == {base: 1, design: 0}
    controller.replica(base, runs=True)
    controller.requests(base, 0)
    assert controller.tick() == {base: 1, design: 0}  # idle, and nobody needs its room
    controller.requests(design, 1)
    assert controller.tick() == {base: 0, design: 1}  # at once
    controller.replica(base, runs=False)
    controller.replica(design, runs=True)
    assert controller.tick() == {base: 0, design: 1}
    controller.requests(base, 1)
    assert controller.tick() == {base: 1, design: 1}  # ordered: it waits while the other is busy
    controller.requests(design, 0)
    assert controller.tick() == {base: 1, design: 0}
    controller.requests(base, 0)
    controller.replica(design, runs=True)  # it was still finishing
    assert controller.tick() == {base: 0, design: 0}  # and whoever had asked for the other has given up
