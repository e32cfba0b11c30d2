"""Fetch what a URL in a request names, without becoming a way into the network that this machine sits in.

A host name is looked up once, every address it has must be one of the public internet, and the connection goes to such
an address and not to the name: what the name stands for a moment later does not matter. Redirects go the same way.
Only http and https; limits of time and size; no proxies of the environment, no cookies, no compression.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from models import InvalidRequestError

CONNECT_S = 5.0
PIECE = 64 * 1024
REDIRECTS = 3
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses by way of NAT64
_PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str, int], Sequence[str]]  # host and port to addresses


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one fetch, redirects included."""

    size: int  # bytes
    seconds: float


class _RefusedError(Exception):
    """Why a URL was not fetched; becomes an InvalidRequestError where the field's name is known."""


def is_url(text: str) -> bool:
    """Whether a text looks like any URL but a data URI."""
    return "://" in text[:40]


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses that a host name has now. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def fetch(field: str, url: str, limits: Limits, resolver: Resolve = resolve) -> bytes:
    """What `url` holds. Blocks; raises InvalidRequestError, which names `field` and tells little of the network."""
    deadline = time.monotonic() + limits.seconds
    try:
        for _ in range(REDIRECTS + 1):
            found = _fetch_once(url, limits.size, deadline, resolver)
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found)
        raise _RefusedError("redirects too often")
    except _RefusedError as refusal:
        raise InvalidRequestError(field, f"cannot be fetched: the URL {refusal}") from None
    except (OSError, http.client.HTTPException, UnicodeError):
        raise InvalidRequestError(field, "cannot be fetched: the URL does not answer properly in time") from None


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, in whatever way it is written."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False  # scoped addresses too: they are link-local
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif parsed.sixtofour is not None or parsed.teredo is not None or parsed in _TRANSLATED:
            return False  # they carry an IPv4 address that is not looked at
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _fetch_once(url: str, size: int, deadline: float, resolver: Resolve) -> bytes | str:
    """The body, or where to go instead."""
    parts, port = _checked(url)
    assert parts.hostname is not None
    address = _public_address(parts.hostname, port, resolver)
    with closing(_connect(parts, address, port, deadline)) as connection, _Alarm(connection, deadline):
        path = parts.path or "/"
        headers = {"Host": parts.netloc, "Accept-Encoding": "identity", "User-Agent": "qwen3-tts-cpu"}
        connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers=headers)
        with closing(connection.getresponse()) as answer:
            if answer.status in _REDIRECTING and (location := answer.getheader("location")):
                return location
            if answer.status != 200:
                raise _RefusedError(f"answers with status {answer.status}")
            return _read(answer, size, deadline)


def _checked(url: str) -> tuple[SplitResult, int]:
    """The parts of a URL that may be fetched, and its port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _RefusedError("is malformed") from None
    if parts.scheme not in _PORTS:
        raise _RefusedError("is neither http nor https")
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise _RefusedError("has no host, or a password")
    if any(not character.isprintable() or character == " " for character in url):
        raise _RefusedError("is malformed")
    return parts, port or _PORTS[parts.scheme]


def _public_address(host: str, port: int, resolver: Resolve) -> str:
    addresses = resolver(host, port)
    if not addresses or not all(is_public(address) for address in addresses):
        raise _RefusedError("does not lead to the public internet")
    return addresses[0]


def _connect(parts: SplitResult, address: str, port: int, deadline: float) -> http.client.HTTPConnection:
    """A connection to the address that was checked; a certificate must be for the name."""
    timeout = min(CONNECT_S, deadline - time.monotonic())
    if timeout <= 0:
        raise TimeoutError
    connection = http.client.HTTPConnection(address, port)
    plain = socket.create_connection((address, port), timeout)
    if parts.scheme == "http":
        connection.sock = plain
        return connection
    try:
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
    except OSError:
        plain.close()
        raise
    return connection


class _Alarm:
    """Cuts a connection at the deadline, also when its other end sends a byte now and then."""

    def __init__(self, connection: http.client.HTTPConnection, deadline: float) -> None:
        self._socket: socket.socket = connection.sock
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._cut)

    def _cut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself

    def __enter__(self) -> None:
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _read(answer: http.client.HTTPResponse, size: int, deadline: float) -> bytes:
    body = bytearray()
    while piece := answer.read(PIECE):
        body += piece
        if len(body) > size:
            raise _RefusedError(f"holds more than {size / 2**20:.0f} MiB")
    if time.monotonic() >= deadline:
        raise _RefusedError("takes too long")
    return bytes(body)
