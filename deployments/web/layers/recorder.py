"""The layer that sees how every request ends: one line in the log, and the metrics."""

import logging
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.speech import RequestRecord, current_record
from deployments.web.layers.repeat import repeat_of
from deployments.web.layers.request_id import REQUEST_ID
from deployments.web.metrics import Metrics

logger = logging.getLogger(__name__)

CLIENT_LEFT = 499  # as nginx writes it
SERVER_STOPPED = 503  # what Serve's proxy says to a client whose request is cancelled here
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/livez", "/readyz", "/health", "/metrics", "/api/v1/status"})  # asked again and again by machines


class Recorder:
    """Around the whole app, so that it also sees what middleware refuses."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Sequence[BaseRoute] = ()) -> None:
        """`routes`: those that requests might have reached that were refused on the way."""
        self._app = app
        self._metrics = metrics
        self._routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        record = RequestRecord(headers.get(REQUEST_ID, ""), repeat_of(headers))
        seen = _Seen(record, send)
        token = current_record.set(record)
        try:
            await self._app(scope, receive, seen.send)
        finally:
            current_record.reset(token)
            self._told(scope, record, seen.status or (CLIENT_LEFT if record.client_left else SERVER_STOPPED))

    def _told(self, scope: Scope, record: RequestRecord, status: int) -> None:
        record.end(status)
        route, method = self._route_of(scope), scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request_ended(route, method, status, record)
        level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
        logger.log(
            level, "request ended", extra={**record.fields(), "route": route, "method": method, "status": status}
        )

    def _route_of(self, scope: Scope) -> str:
        """The template of a request's route, such as /api/v1/tts/voices/{voice}: of these there are only so many."""
        route: Any = scope.get("route")
        if path := getattr(route, "path", None):
            return path
        return next((route.path for route in self._routes if route.path_regex.match(scope["path"])), "other")


class _Seen:
    """What went out of an answer."""

    def __init__(self, record: RequestRecord, send: Send) -> None:
        self._record = record
        self._send = send
        self.status: int | None = None  # nothing was sent
        self._is_streamed = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._is_streamed = "content-length" not in Headers(raw=message["headers"])
        elif self._is_streamed and self._record.ttfa_s is None and message.get("body"):
            self._record.ttfa_s = self._record.elapsed_s
        await self._send(message)
