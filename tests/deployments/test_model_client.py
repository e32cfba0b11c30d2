"""What Ray says of a model, as the rest of the app hears it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deployments.errors import ModelUnavailableError, error_response
from deployments.model_client import ServeModelClient
from deployments.presence import PresenceWatch
from models import OverloadedError, SpeechError


def client_that_raises(error: Exception) -> ServeModelClient:
    async def fail() -> Any:
        raise error

    handle: Any = SimpleNamespace(info=SimpleNamespace(remote=fail))
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
    def broadcast(method: str) -> Any:
        assert method == "report"
        return SimpleNamespace(results_async=results)

    async def results() -> Any:
        raise DeploymentUnavailableError(DeploymentID("base", "tts"))

    # There is nothing else that could be asked, such as `report.remote`.
    handle: Any = SimpleNamespace(broadcast=broadcast)
    with pytest.raises(ModelUnavailableError):
        asyncio.run(ServeModelClient(handle, PresenceWatch("tts")).report())
