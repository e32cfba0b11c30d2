"""Every route against the OpenAPI document, with requests nobody would think of: no 5xx, answers as documented."""

import json
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.deployments import fake_engine
from tests.deployments.fuzzing import Operation, fuzz, list_operations
from tests.deployments.helpers import App, make_config

CASES = 100  # for each route
BODIES = 200
SPEAKING = ("/api/v1/tts/synthesize", "/api/v1/tts/design", "/v1/audio/speech")
CLONING = ("/api/v1/tts/clone", "/v1/audio/voices")
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "multipart/form-data",
    "multipart/form-data; boundary=a",
    "multipart/form-data; boundary=a; charset=nothing",
    "text/plain",
    "",
)


class _Loopback:
    """The app, asked from this machine: requests in process name no address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "client": ("127.0.0.1", 50000)}, receive, send)


@pytest.fixture(scope="module")
def fast_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_engine, "FRAME_S", 0.0)
        app = App(make_config(tmp_path_factory.mktemp("fuzzing") / "voices"))
        yield app
        app.close()


@pytest.fixture(scope="module")
def operations(fast_app: App) -> list[Operation]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", _Loopback(fast_app.broken.app))
    return list_operations(schema)


def test_every_route_answers_as_documented(operations: list[Operation], subtests: pytest.Subtests) -> None:
    answered: dict[str, set[int]] = {}
    for operation in operations:
        with subtests.test(operation.label):
            answered[operation.label] = fuzz(operation, CASES)
    assert len(answered) >= 17
    never_obeyed = [label for label, statuses in answered.items() if not statuses & {200, 201}]
    assert never_obeyed == []


@settings(max_examples=BODIES, derandomize=True, database=None, deadline=None)
@given(
    path=st.sampled_from(SPEAKING + CLONING),
    content_type=st.sampled_from(CONTENT_TYPES),
    content=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=100).map(lambda noise: b'--a\r\nContent-Disposition: form-data; name="' + noise),
        st.recursive(st.floats() | st.text() | st.integers(), st.lists).map(lambda value: json.dumps(value).encode()),
        st.integers(min_value=1, max_value=5000).map(lambda depth: b'{"text":' * depth),
        st.integers(min_value=1, max_value=5000).map(lambda digits: b'{"seed":' + b"9" * digits + b"}"),
    ),
)
def test_no_body_breaks_it(fast_app: App, path: str, content_type: str, content: bytes) -> None:
    answer = fast_app.broken.post(path, content=content, headers={"content-type": content_type})
    assert 400 <= answer.status_code < 500
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
