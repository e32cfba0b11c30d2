"""What Serve's controller says of replicas, as it says it: plain strings."""

from types import SimpleNamespace
from typing import Any

import pytest

from deployments.contract import Presence
from deployments.fleet.presence import presence_of


@pytest.mark.parametrize(
    ("status", "replicas", "presence"),
    [
        ("HEALTHY", {}, "cold"),
        ("HEALTHY", {"STOPPING": 1}, "cold"),
        ("UPSCALING", {"STARTING": 1}, "loading"),
        ("HEALTHY", {"RUNNING": 1}, "running"),
        ("UPDATING", {"RUNNING": 1, "STARTING": 1}, "running"),
        ("UNHEALTHY", {"STARTING": 1}, "failed"),
        ("DEPLOY_FAILED", {}, "failed"),
    ],
)
def test_numbers_of_replicas_tell_whether_a_model_is_there(
    status: str, replicas: dict[str, int], presence: Presence
) -> None:
    deployment: Any = SimpleNamespace(status=status, replica_states=replicas)
    assert presence_of(deployment) == presence
