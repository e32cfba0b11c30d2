"""Around Ray Serve's proxy, in its process: what the proxy says itself gets the form of our errors, and clients cannot
steer it.

Ray Serve calls `middleware` when RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it; the launcher sets that.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.errors import BodyTooSlowError, DeadlinePassedError, ModelUnavailableError
from deployments.web.failures import error_response
from deployments.web.layers.request_id import REQUEST_ID, settle_request_id
from models import OverloadedError

BODY_PAUSE_S = 30.0  # between two pieces of a request body
BODY_S = 600.0  # for a whole request body
RETRY_S = 5.0  # where a full queue does not say when to try again
# With these a client could switch off Serve's timeout and its watch for clients that go away, or choose a replica.
STEERING_HEADERS = frozenset(
    {"x-request-timeout-seconds", "x-request-disconnect-disabled", "serve-multiplexed-model-id", "x-session-id"}
)


def middleware() -> list[Middleware]:
    """What Ray Serve puts around its proxy."""
    return [Middleware(ProxyGuard)]


class ProxyGuard:
    """The outermost layer of the server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        drop_steering_headers(scope)
        request_id = settle_request_id(scope)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        body, answer = _Body(receive), _Answer(send)
        await self._app(scope, body.receive, answer.send)
        if answer.started:
            return
        response = answer.replacement()
        if body.too_slow:
            response = error_response(BodyTooSlowError("the request's body did not come in time"))
            response.headers["connection"] = "close"
        response.headers[REQUEST_ID] = request_id
        await response(scope, receive, send)


def drop_steering_headers(scope: Scope) -> None:
    """What clients may not say to the proxy, which takes `_` for `-`."""
    scope["headers"] = [
        (name, value)
        for name, value in scope["headers"]
        if name.decode("latin-1").lower().replace("_", "-") not in STEERING_HEADERS
    ]


class _Body:
    """A request's body that has to come in time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._complete = False
        self._deadline = asyncio.get_running_loop().time() + BODY_S
        self.too_slow = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            pause_ends = asyncio.get_running_loop().time() + BODY_PAUSE_S
            async with asyncio.timeout_at(min(self._deadline, pause_ends)):
                message = await self._receive()
        except TimeoutError:
            self._complete = self.too_slow = True
            return {"type": "http.disconnect"}  # Serve then cancels the request
        self._complete = not message.get("more_body", False)
        return message


class _Answer:
    """Lets the app's answers through and keeps the proxy's own, which are plain text, to be said in our form."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._kept: Message | None = None
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if _is_plain_error(message):
                self._kept = message
                return
            self.started = True
        if self.started:
            await self._send(message)

    def replacement(self) -> Response:
        """What is said instead of the proxy's own words, or of nothing where the app died without an answer."""
        status = 500 if self._kept is None else self._kept["status"]
        if status == 408:
            return error_response(DeadlinePassedError("the server's time limit passed"))
        if status == 429 and self._kept is not None:
            seconds = Headers(raw=self._kept["headers"]).get("retry-after", "")
            return error_response(
                OverloadedError("the server is overloaded", float(seconds) if seconds.isdecimal() else RETRY_S)
            )
        return error_response(ModelUnavailableError("the server is starting, stopping or restarting; try again"))


def _is_plain_error(message: Message) -> bool:
    content_type = Headers(raw=message["headers"]).get("content-type", "")
    return message["status"] >= 400 and content_type.startswith("text/plain")
