"""What every request passes before it reaches a route: its id, its key, and the limit of its body."""

import hashlib
import hmac
import uuid
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.config import AppConfig, is_loopback
from deployments.errors import BodyTooLargeError, KeyMissingError, RemoteClientError, error_response
from models import SpeechError

REQUEST_ID = "x-request-id"
OPEN_PATHS = frozenset({"/livez", "/readyz", "/health", "/docs", "/openapi.json", "/v1/readyz"})
LISTING_PATHS = frozenset({"/api/v1/tts/voices", "/v1/models", "/v1/audio/models", "/v1/audio/voices"})


class RequestId:
    """Every response says which request it answers. Behind Ray's proxy, which gives the id and says it, this rests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or REQUEST_ID in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        MutableHeaders(scope=scope)[REQUEST_ID] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class KeyCheck:
    """With keys configured, a Bearer key; with none, only clients on this machine."""

    def __init__(self, app: ASGIApp, config: AppConfig) -> None:
        self._app = app
        self._digests = [_digest(key.get_secret_value()) for key in config.api_keys]
        self._open_listing = config.open_listing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except SpeechError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if not self._digests:
            client = scope.get("client")
            if client is not None and not is_loopback(client[0]):
                raise RemoteClientError("no API key is configured, so only this machine may use the server")
            return
        if self._is_open(scope):
            return
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not _matches(key.strip(), self._digests):
            raise KeyMissingError("send a valid key as 'Authorization: Bearer KEY'")

    def _is_open(self, scope: Scope) -> bool:
        path, method = scope["path"], scope["method"]
        listing = self._open_listing and method == "GET" and path in LISTING_PATHS
        return path in OPEN_PATHS or listing


class BodyLimit:
    """Refuses a body past the limit, if it can before reading any of it."""

    def __init__(self, app: ASGIApp, config: AppConfig) -> None:
        self._app = app
        self._limit = config.max_body_bytes
        self._message = f"the body is larger than {config.max_body_mb} MiB"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._declared(scope) > self._limit:
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

    @staticmethod
    def _declared(scope: Scope) -> int:
        length = Headers(scope=scope).get("content-length", "0")
        return int(length) if length.isascii() and length.isdigit() else 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _matches(key: str, digests: Iterable[bytes]) -> bool:
    """Compares with every key, in a time that does not depend on the answer."""
    digest = _digest(key)
    return sum(hmac.compare_digest(digest, known) for known in digests) > 0
