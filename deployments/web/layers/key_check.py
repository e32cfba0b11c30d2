"""Who may ask: whoever has a key, or with none configured whoever is on this machine."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.config import AppConfig, is_loopback
from deployments.errors import KeyMissingError, RemoteClientError
from deployments.keys import KeyRing
from deployments.web.failures import error_response
from models import SpeechError

PROBES = frozenset({"/livez", "/readyz"})  # they tell yes or no, and whoever asks for them cannot have a key
OPEN_PATHS = PROBES | {"/health", "/docs", "/openapi.json", "/v1/readyz"}
METRICS_PATH = "/metrics"
LISTING_PATHS = ("/api/v1/tts/voices", "/v1/models", "/v1/audio/models", "/v1/audio/voices")
FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})  # reverse proxies add these, or X-Forwarded-For and its like


class KeyCheck:
    """With keys configured, a Bearer key; with none, only programs on this machine. Probes are answered in any case."""

    def __init__(self, app: ASGIApp, config: AppConfig, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys
        self._open = OPEN_PATHS | ({METRICS_PATH} if config.open_metrics else set())
        self._open_listing = LISTING_PATHS if config.open_listing else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] != "lifespan":
                self._check(scope)
        except SpeechError as error:
            if scope["type"] == "http":
                await error_response(error)(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": str(error)})
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        is_request = scope["type"] == "http"
        if is_request and scope["path"] in PROBES:
            return
        if not self._keys.required:
            check_local(scope)
        elif not (is_request and self._is_open(scope)) and not self._keys.matches(_presented_key(scope)):
            raise KeyMissingError("send a valid key as 'Authorization: Bearer KEY'")

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"]
        listed = any(path == listing or path.startswith(f"{listing}/") for listing in self._open_listing)
        return path in self._open or (scope["method"] == "GET" and listed)


def _presented_key(scope: Scope) -> bytes:
    """The key as it was sent, byte for byte; empty where there is none."""
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    return key.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


def check_local(scope: Scope) -> None:
    """Raises RemoteClientError for a client elsewhere, be it through a proxy on this machine, and for a web page from
    elsewhere in a browser here.

    Such a page can send requests to 127.0.0.1 (then its Origin tells), or through a name of its own that stands for
    127.0.0.1 (then the Host tells).
    """
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        raise RemoteClientError("no API key is configured, so only this machine may use the server")
    headers = Headers(scope=scope)
    if any(name in FORWARDED or name.startswith("x-forwarded-") for name in headers):
        raise RemoteClientError("no API key is configured, so nobody may use the server through a proxy: make a key")
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
