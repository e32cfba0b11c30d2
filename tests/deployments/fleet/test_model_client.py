"""What Ray says of a model, as the rest of the app hears it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, GetTimeoutError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException

from deployments.errors import ModelUnavailableError
from deployments.fleet.model_client import ServeModelClient
from deployments.fleet.presence import PresenceWatch
from deployments.replica.model_server import ModelServer
from deployments.web.failures import error_response
from models import OverloadedError, SpeechError
from tests.deployments.fake_engine import make_fake_engine
from tests.deployments.helpers import make_config


def client_that_raises(error: Exception) -> ServeModelClient:
    async def fail() -> Any:
        raise error

    handle: Any = SimpleNamespace(info=SimpleNamespace(remote=fail))
    return ServeModelClient(handle, PresenceWatch("tts"))


def client_that_broadcasts(results: Callable[..., Any]) -> ServeModelClient:
    def broadcast(method: str) -> Any:
        assert method == "report"
        return SimpleNamespace(results_async=results)

    # There is nothing else that could be asked, such as `report.remote`.
    handle: Any = SimpleNamespace(broadcast=broadcast)
    return ServeModelClient(handle, PresenceWatch("tts"))


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (BackPressureError(num_queued_requests=9, max_queued_requests=9), OverloadedError, 429),
        (ActorDiedError(), ModelUnavailableError, 503),
    ],
)
def test_rays_refusals_are_ours(error: Exception, told: type[SpeechError], status: int) -> None:
    with pytest.raises(told) as refusal:
        asyncio.run(client_that_raises(error).info())
    answer = error_response(refusal.value)
    assert (answer.status_code, "retry-after" in answer.headers) == (status, True)


def test_serve_says_when_to_come_to_its_queue_again() -> None:
    refusal = BackPressureError(num_queued_requests=9, max_queued_requests=9, retry_after_s=9.0)
    with pytest.raises(OverloadedError) as told:
        asyncio.run(client_that_raises(refusal).info())
    assert error_response(told.value).headers["retry-after"] == "9"


def test_a_model_that_has_left_gives_no_report_and_is_not_woken_for_one() -> None:
    async def results(**_: bool) -> Any:
        raise DeploymentUnavailableError(DeploymentID("base", "tts"))

    with pytest.raises(ModelUnavailableError):
        asyncio.run(client_that_broadcasts(results).report())


def test_one_replica_of_two_is_enough_for_a_report(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    report = asyncio.run(ModelServer(config, config.models[0], make_fake_engine).report())

    async def one_died(return_exceptions: bool) -> Any:
        assert return_exceptions
        return [ActorDiedError(), report]

    async def both_died(return_exceptions: bool) -> Any:
        assert return_exceptions
        return [ActorDiedError(), ActorDiedError()]

    assert asyncio.run(client_that_broadcasts(one_died).report()) is report
    with pytest.raises(ModelUnavailableError):
        asyncio.run(client_that_broadcasts(both_died).report())


@pytest.mark.parametrize("error", [ActorDiedError(), RayServeException("there is no instance"), GetTimeoutError()])
def test_a_controller_that_does_not_answer_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> Any:
        raise error

    monkeypatch.setattr("deployments.fleet.presence.serve.status", fail)
    handle: Any = SimpleNamespace(deployment_name="base")
    with pytest.raises(ModelUnavailableError):
        asyncio.run(ServeModelClient(handle, PresenceWatch("tts")).presence())
