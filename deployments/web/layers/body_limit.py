"""The size that a body may have."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.config import AppConfig
from deployments.errors import BodyTooLargeError
from deployments.web.failures import error_response


class BodyLimit:
    """Refuses a body past the limit, if it can before reading any of it."""

    def __init__(self, app: ASGIApp, config: AppConfig) -> None:
        self._app = app
        self._limit = config.max_body_bytes
        self._message = f"the body is larger than {config.max_body_mb} MiB"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and declared_length(scope) > self._limit:
            await error_response(BodyTooLargeError(self._message))(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(413, self._message)  # the kind that FastAPI lets through while it reads a body
            return message

        await self._app(scope, receive_within_limit, send)


def declared_length(scope: Scope) -> int:
    """Of a request's body, in bytes; 0 where it does not say."""
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0
