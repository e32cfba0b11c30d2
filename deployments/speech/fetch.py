"""Fetch what a URL in a request names, without becoming a way into the network that this machine sits in.

A host name is looked up once, every address it has must be one of the public internet, and the connection goes to such
an address and not to the name: what the name stands for a moment later does not matter. Redirects go the same way.
Only http and https, and only their own ports, so that nobody asks a stranger's other services from here; limits of time
and size; no proxies of the environment, no cookies, no compression.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from models import InvalidRequestError

CONNECT_S = 5.0
LOOK_UP_S = 5.0
LOOK_UPS_AT_ONCE = 8
PIECE = 64 * 1024
REDIRECTS = 3
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that is handed out to the public internet
# Not to be reached from everywhere, whatever this Python's tables say: documentation, and the way to 6to4 relays.
_RESERVED = (ipaddress.ip_network("3fff::/20"), ipaddress.ip_network("192.88.99.0/24"))
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


class LookUps:
    """Look-ups that end in time. The system's own cannot be stopped: one that takes too long is left behind in its
    thread, and while as many as may be are still there, the next waits for one of them."""

    def __init__(self, resolver: Resolve = resolve, at_once: int = LOOK_UPS_AT_ONCE) -> None:
        self._resolver = resolver
        self._free = threading.BoundedSemaphore(at_once)

    def addresses(self, host: str, port: int, deadline: float) -> Sequence[str]:
        """Raises OSError, TimeoutError too when there is no answer after LOOK_UP_S or at `deadline`."""
        until = min(deadline, time.monotonic() + LOOK_UP_S)
        if not self._free.acquire(timeout=max(0.0, until - time.monotonic())):
            raise TimeoutError
        answer: Future[Sequence[str]] = Future()
        threading.Thread(target=self._look_up, args=(host, port, answer), daemon=True).start()
        return answer.result(max(0.0, until - time.monotonic()))

    def _look_up(self, host: str, port: int, answer: "Future[Sequence[str]]") -> None:
        try:
            answer.set_result(self._resolver(host, port))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)
        finally:
            self._free.release()


_look_ups = LookUps()


def fetch(field: str, url: str, limits: Limits, look_ups: LookUps = _look_ups) -> bytes:
    """What `url` holds. Blocks; raises InvalidRequestError, which names `field` and tells little of the network."""
    deadline = time.monotonic() + limits.seconds
    try:
        for _ in range(REDIRECTS + 1):
            found = _fetch_once(url, limits.size, deadline, look_ups)
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
        elif parsed not in _GLOBAL_UNICAST or parsed.sixtofour is not None or parsed.teredo is not None:
            return False  # the last two carry an IPv4 address that is not looked at
    if any(parsed in network for network in _RESERVED):
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _fetch_once(url: str, size: int, deadline: float, look_ups: LookUps) -> bytes | str:
    """The body, or where to go instead."""
    parts, port = _checked(url)
    assert parts.hostname is not None
    addresses = _public_addresses(look_ups.addresses(parts.hostname, port, deadline))
    with _connected(parts, addresses, port, deadline) as connection:
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
    if port not in (None, *_PORTS.values()):
        raise _RefusedError("names a port other than 80 and 443")
    return parts, port or _PORTS[parts.scheme]


def _public_addresses(addresses: Sequence[str]) -> Sequence[str]:
    if not addresses or not all(is_public(address) for address in addresses):
        raise _RefusedError("does not lead to the public internet")
    return addresses


@contextmanager
def _connected(
    parts: SplitResult, addresses: Sequence[str], port: int, deadline: float
) -> Generator[http.client.HTTPConnection]:
    """A connection to one of the addresses that were checked; a certificate must be for the name."""
    connection = http.client.HTTPConnection(addresses[0], port)
    connection.sock = _reach_one(addresses, port, deadline)
    with closing(connection):
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(
                connection.sock, server_hostname=parts.hostname, do_handshake_on_connect=False
            )
        with _Alarm(connection, deadline):
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            yield connection


def _reach_one(addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    """A connection to the first address that takes one. Raises OSError, that of the last address."""
    refused: OSError = TimeoutError()
    for address in dict.fromkeys(addresses):
        timeout = min(CONNECT_S, deadline - time.monotonic())
        if timeout <= 0:
            break
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            refused = error
    raise refused


class _Alarm:
    """Cuts a connection at the deadline, also when its other end sends a byte now and then."""

    def __init__(self, connection: http.client.HTTPConnection, deadline: float) -> None:
        self._socket: socket.socket = connection.sock
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._cut)

    def _cut(self) -> None:
        try:
            socket.socket.shutdown(
                self._socket, socket.SHUT_RDWR
            )  # that of TLS would pull it out of the reader's hands
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
