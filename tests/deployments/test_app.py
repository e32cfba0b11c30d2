"""What is asked of Ray Serve."""

from pathlib import Path

from ray.serve._private.http_util import get_http_response_status
from ray.serve.exceptions import BackPressureError

from deployments.app import deployment_options
from tests.deployments.helpers import make_config


def test_no_queue_of_serves_is_endless_and_a_full_one_is_told_with_retry_after(tmp_path: Path) -> None:
    options = deployment_options(make_config(tmp_path / "voices"))
    assert len(options) == 4  # the ingress and three models
    for of_one in options.values():
        assert 0 < of_one["max_queued_requests"] < 1000
        said = of_one["backpressure_config"]
        refusal = BackPressureError(9, 9, said.status_code, said.retry_after_s)
        told = get_http_response_status(refusal, request_timeout_s=None, request_id="1")
        assert (told.code, told.headers) == (429, [(b"retry-after", b"5")])
