"""What is asked of Ray Serve."""

from pathlib import Path
from typing import Any

from ray.serve import Deployment
from ray.serve._private.http_util import get_http_response_status
from ray.serve.exceptions import BackPressureError

from deployments.app import assemble
from tests.deployments.fake_engine import make_fake_engine
from tests.deployments.helpers import make_config


def deployments(application: Any) -> list[Deployment]:
    """The ingress and all that is bound into it."""
    ingress: Deployment = application._bound_deployment
    arguments: tuple[Any, ...] = ingress.init_args
    return [ingress, *(model._bound_deployment for model in arguments[1].values())]


def test_no_queue_of_serves_is_endless_and_a_full_one_is_told_with_retry_after(tmp_path: Path) -> None:
    all_of_them = deployments(assemble(make_config(tmp_path / "voices"), make_fake_engine))
    assert len(all_of_them) == 4
    for deployment in all_of_them:
        assert 0 < deployment.max_queued_requests < 1000
        said = deployment.backpressure_config
        refusal = BackPressureError(9, 9, said.status_code, said.retry_after_s)
        told = get_http_response_status(refusal, request_timeout_s=None, request_id="1")
        assert (told.code, told.headers) == (429, [(b"retry-after", b"5")])
