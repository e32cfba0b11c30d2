"""The layer that sees how every request ends: one line in the log, and the metrics."""

import logging
import uuid
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.metrics import Metrics
from deployments.request_id import REQUEST_ID
from deployments.request_record import RequestRecord, current_record

logger = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/livez", "/readyz", "/health", "/metrics", "/api/v1/status"})  # asked again and again by machines


class Recorder:
    """Around the whole app, so that it also sees what middleware refuses."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._active: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self._record(Headers(scope=scope).get(REQUEST_ID, ""))
        seen = _Seen(record, send)
        token = current_record.set(record)
        self._active.add(record.engine_id)
        try:
            await self._app(scope, receive, seen.send)
        finally:
            self._active.discard(record.engine_id)
            current_record.reset(token)
            self._told(scope, record, seen.status)

    def _record(self, request_id: str) -> RequestRecord:
        """Clients may choose ids; for the engine they must differ."""
        taken = request_id in self._active
        return RequestRecord(request_id, f"{request_id}~{uuid.uuid4().hex[:8]}" if taken else request_id)

    def _told(self, scope: Scope, record: RequestRecord, status: int) -> None:
        route, method = route_of(scope), scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request_ended(route, method, status, record)
        level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
        logger.log(
            level, "request ended", extra={**record.fields(), "route": route, "method": method, "status": status}
        )


class _Seen:
    """What went out of an answer."""

    def __init__(self, record: RequestRecord, send: Send) -> None:
        self._record = record
        self._send = send
        self.status = 499  # the client was gone before anything was sent

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self._record.ttfa_s is None and message.get("body") and message.get("more_body", False):
            self._record.ttfa_s = self._record.elapsed_s
        await self._send(message)


def route_of(scope: Scope) -> str:
    """The template of a request's route, such as /api/v1/tts/voices/{voice}: of these there are only so many."""
    route: Any = scope.get("route")
    return getattr(route, "path", "other")
