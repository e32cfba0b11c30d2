"""The id of a request, without Ray's proxy and its guard."""

import json

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from deployments.web.layers.request_id import RequestId


def ask(*ids: str) -> tuple[list[str], list[str]]:
    """The ids that the app sees of a request that comes with these, and those that the answer has."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(value.decode() for name, value in scope["headers"] if name == b"x-request-id")
        await PlainTextResponse(json.dumps(seen))(scope, receive, send)

    answer = TestClient(RequestId(app)).get("/x", headers=[(b"x-request-id", each.encode()) for each in ids])
    return seen, answer.headers.get_list("x-request-id")


def test_a_request_without_an_id_gets_one_and_is_told() -> None:
    [seen], [told] = ask()
    assert seen == told
    assert len(seen) == 32


@pytest.mark.parametrize("ids", [("mine",), ("mine", "other"), ("mine", "a b")])
def test_an_id_of_the_clients_is_kept_and_the_proxy_tells_it(ids: tuple[str, ...]) -> None:
    assert ask(*ids) == (["mine"], [])


@pytest.mark.parametrize("sent", ["a b", "a" * 129, "", "a/b", "\u00fc"])
def test_what_is_no_id_goes_no_further(sent: str) -> None:
    [seen], told = ask(sent)
    assert (len(seen), told) == (32, [])
