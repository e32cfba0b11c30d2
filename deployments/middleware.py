"""What every request passes before it reaches a route: its id, its key, and the limit of its body."""

import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.config import AppConfig, is_loopback
from deployments.errors import BodyTooLargeError, KeyMissingError, RemoteClientError, error_response
from deployments.keys import KeyRing
from models import SpeechError

REQUEST_ID = "x-request-id"
OPEN_PATHS = frozenset({"/livez", "/readyz", "/health", "/docs", "/openapi.json", "/v1/readyz"})
METRICS_PATH = "/metrics"
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
    """With keys configured, a Bearer key; with none, only programs on this machine."""

    def __init__(self, app: ASGIApp, config: AppConfig) -> None:
        self._app = app
        self._keys = KeyRing(config)
        self._open = OPEN_PATHS | ({METRICS_PATH} if config.open_metrics else set())
        self._open_listing = LISTING_PATHS if config.open_listing else frozenset[str]()

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
        if not self._keys.required:
            check_local(scope)
            return
        if self._is_open(scope):
            return
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._keys.matches(key.strip()):
            raise KeyMissingError("send a valid key as 'Authorization: Bearer KEY'")

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"]
        return path in self._open or (scope["method"] == "GET" and path in self._open_listing)


def check_local(scope: Scope) -> None:
    """Raises RemoteClientError for a client elsewhere, and for a web page from elsewhere in a browser here.

    Such a page can send requests to 127.0.0.1 (then its Origin tells), or through a name of its own that stands for
    127.0.0.1 (then the Host tells).
    """
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        raise RemoteClientError("no API key is configured, so only this machine may use the server")
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    for url in (f"//{headers.get('host', '')}", origin):
        if url is not None and not _is_local_name(url):
            raise RemoteClientError("no API key is configured, so web pages from elsewhere may not use the server")


def _is_local_name(url: str) -> bool:
    """Whether the host in a URL means this machine; a name without a dot cannot belong to anybody on the internet."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    return host is not None and (is_loopback(host) or ("." not in host and ":" not in host))


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
