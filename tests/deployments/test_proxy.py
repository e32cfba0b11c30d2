"""The layer around Ray Serve's proxy, over an app that behaves as the proxy does."""

import asyncio
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments import proxy
from deployments.proxy import ProxyGuard


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
        (PlainTextResponse("full", 429, headers={"Retry-After": "7"}), 429, None),
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
        assert answer.headers["retry-after"] == ("7" if status == 429 else "5")


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
        "x-request-id": "a\tb", "x-other": "kept",
    }  # fmt: skip
    seen = client_of(tell_headers).get("/x", headers=sent).json()
    assert not any(name.startswith(("x-request-timeout", "x-request-disc", "serve")) for name in seen)
    assert seen["x-other"] == "kept"
    assert len(seen["x-request-id"]) == 32


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
