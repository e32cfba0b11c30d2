"""The layer around Ray Serve's proxy, over an app that behaves as the proxy does."""

import asyncio
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.web.layers import proxy
from deployments.web.layers.proxy import ProxyGuard


def client_of(app: ASGIApp) -> TestClient:
    return TestClient(ProxyGuard(app), raise_server_exceptions=False)


async def say_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What Serve does when the ingress dies before it has answered."""


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [
        (PlainTextResponse("Path '/x' not found.", 404), 503, "model_unavailable"),
        (PlainTextResponse("unavailable", 503), 503, "model_unavailable"),
        (PlainTextResponse("Traceback: secret", 500), 503, "model_unavailable"),
        (PlainTextResponse("timed out", 408), 504, "deadline_passed"),
        (PlainTextResponse("full", 429, headers={"Retry-After": "7"}), 429, "overloaded"),
        (PlainTextResponse("full", 429), 429, "overloaded"),
        (say_nothing, 503, "model_unavailable"),
    ],
)
def test_the_proxys_own_words_become_our_errors(app: ASGIApp, status: int, code: str | None) -> None:
    answer = client_of(app).get("/x", headers={"x-request-id": "abc"})
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "abc"
    if status in (429, 503):
        said = isinstance(app, PlainTextResponse) and app.headers.get("retry-after")
        assert answer.headers["retry-after"] == (said or "5")
        assert "x-should-retry" not in answer.headers, "OpenAI's client would then not try again"


@pytest.mark.parametrize("app", [JSONResponse({"error": 1}, 404), PlainTextResponse("fine"), Response(b"", 204)])
def test_what_the_app_says_passes_unchanged(app: Response) -> None:
    answer = client_of(app).get("/x")
    assert (answer.status_code, answer.content) == (app.status_code, app.body)


def test_clients_cannot_steer_the_proxy_and_ids_are_sane() -> None:
    async def tell_headers(scope: Scope, receive: Receive, send: Send) -> None:
        seen = {name.decode(): value.decode() for name, value in scope["headers"]}
        await JSONResponse(seen)(scope, receive, send)

    sent = {
        "X-Request-Timeout-Seconds": "0", "x-request-disconnect-disabled": "?1", "serve-multiplexed-model-id": "m",
        "serve_multiplexed_model_id": "m", "X-Session-Id": "s", "x_session_id": "s", "x-request-id": "a\tb",
        "x-other": "kept",
    }  # fmt: skip
    seen = client_of(tell_headers).get("/x", headers=sent).json()
    standard = {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert set(seen) - standard == {"x-other", "x-request-id"}
    assert len(seen["x-request-id"]) == 32


def test_of_several_ids_the_proxy_sees_the_first_only() -> None:
    ids: list[bytes] = []

    async def tell_ids(scope: Scope, receive: Receive, send: Send) -> None:
        ids.extend(value for name, value in scope["headers"] if name == b"x-request-id")
        await PlainTextResponse("fine")(scope, receive, send)

    client_of(tell_ids).get("/x", headers=[("x-request-id", "one"), ("X-Request-Id", "a b")])
    assert ids == [b"one"]


def test_nor_do_sockets_steer_the_proxy() -> None:
    scopes: list[Scope] = []

    async def remember(scope: Scope, _receive: Receive, _send: Send) -> None:
        scopes.append(scope)

    headers = [(b"x-request-disconnect-disabled", b"?1"), (b"x-request-id", b"a b")]
    asyncio.run(ProxyGuard(remember)({"type": "websocket", "path": "/", "headers": headers}, never, ignore))
    [(name, value)] = scopes[0]["headers"]
    assert (name, len(value)) == (b"x-request-id", 32)


async def never() -> Message:
    raise AssertionError("nothing is read")


async def ignore(_: Message) -> None:
    raise AssertionError("nothing is said")


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads a body to its end, and gives up silently when the client is gone, as Serve does."""
    while (message := await receive())["type"] == "http.request":
        if not message["more_body"]:
            await PlainTextResponse("read")(scope, receive, send)
            return


def ask_slowly(pieces: list[float]) -> list[Message]:
    """What is sent to a client that pauses for so many seconds before each piece of its body."""
    sent: list[Message] = []
    waiting = list(pieces)

    async def receive() -> Message:
        await asyncio.sleep(waiting.pop(0))
        return {"type": "http.request", "body": b"x", "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(ProxyGuard(read_all)(scope, receive, send))
    return sent


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "BODY_PAUSE_S", 0.05)
    start, body = ask_slowly([0, 5])
    assert (start["status"], (b"connection", b"close") in start["headers"]) == (408, True)
    assert b"body_too_slow" in body["body"]
    assert ask_slowly([0, 0.01, 0])[0]["status"] == 200


def test_a_body_that_drips_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "BODY_S", 0.1)
    assert ask_slowly([0.03] * 20)[0]["status"] == 408
