"""Fetching URLs: against servers on this machine, which a resolver of the test calls public."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployments.speech import fetch as fetching
from deployments.speech.fetch import Limits, LookUps, fetch, is_public
from models import InvalidRequestError
from tests.deployments.helpers import App, make_clip, make_config

LIMITS = Limits(size=100_000, seconds=5.0)
CLIP = make_clip(2.0)


class Handler(BaseHTTPRequestHandler):
    """What a path does is its name."""

    def do_GET(self) -> None:
        name = self.path.strip("/").partition("?")[0]
        if name.startswith("to-"):
            self._answer(302, b"", location=f"/{name.removeprefix('to-')}")
        elif name == "away":
            self._answer(302, b"", location="http://127.0.0.1/clip")
        elif name == "other-port":
            self._answer(302, b"", location="http://clips.example:22/clip")
        elif name == "file":
            self._answer(302, b"", location="file:///etc/passwd")
        elif name == "clip":
            self._answer(200, CLIP)
        elif name == "host":
            self._answer(200, (self.headers["Host"] or "").encode())
        elif name == "drip":
            self._drip()
        elif name == "slow":
            self._answer(200, b"")
            self._drip()
        else:
            self._answer(404, b"")

    def _answer(self, status: int, body: bytes, location: str | None = None) -> None:
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        try:
            for _ in range(100):
                self.wfile.write(b"H")
                time.sleep(0.05)
        except OSError:
            return

    def log_message(self, format: str, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    yield from serving()


def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server, with TLS where there is a context for it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


Connected = list[tuple[str, int]]


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch, port: int) -> Connected:
    """127.0.0.2 and 127.0.0.3 count as addresses of the internet; 127.0.0.1 stays what it is. Nobody listens at the
    second. What was connected to, in order."""
    addresses: Connected = []
    real_check, real_connect = fetching.is_public, fetching.socket.create_connection

    def is_public_here(address: str) -> bool:
        return address in ("127.0.0.2", "127.0.0.3") or real_check(address)

    def connect(address: tuple[str, int], timeout: float) -> Any:
        addresses.append(address)
        if address[0] == "127.0.0.3":
            raise ConnectionRefusedError
        assert address[0] == "127.0.0.2", f"connected to {address[0]}, which nobody checked"
        return real_connect(("127.0.0.1", port), timeout)

    monkeypatch.setattr(fetching, "is_public", is_public_here)
    monkeypatch.setattr(fetching.socket, "create_connection", connect)
    return addresses


def once(*answers: list[str]) -> LookUps:
    """Gives these addresses, one list a look-up; looking up once more than that is an error."""
    waiting = list(answers)
    return LookUps(lambda _host, _port: waiting.pop(0))


def by_host(addresses: Callable[[str], list[str]]) -> LookUps:
    return LookUps(lambda host, _port: addresses(host))


def refusal(url: str, look_ups: LookUps, limits: Limits = LIMITS) -> str:
    with pytest.raises(InvalidRequestError) as refused:
        fetch("ref_audio", url, limits, look_ups)
    assert refused.value.field == "ref_audio"
    return refused.value.message


def test_a_clip_is_fetched_from_the_address_that_was_checked(connected: Connected) -> None:
    look_ups = once(["127.0.0.2"])  # a second look-up, which could say something else, would fail
    assert fetch("ref_audio", "http://clips.example/clip", LIMITS, look_ups) == CLIP
    assert fetch("ref_audio", "http://clips.example/host", LIMITS, once(["127.0.0.2"])) == b"clips.example"
    assert fetch("ref_audio", "http://clips.example:443/host", LIMITS, once(["127.0.0.2"])) == b"clips.example:443"
    assert connected == [("127.0.0.2", 80), ("127.0.0.2", 80), ("127.0.0.2", 443)]


def test_every_address_of_a_host_is_tried(connected: Connected) -> None:
    assert fetch("ref_audio", "http://clips.example/clip", LIMITS, once(["127.0.0.3", "127.0.0.2"])) == CLIP
    assert connected == [("127.0.0.3", 80), ("127.0.0.2", 80)]
    assert "does not answer" in refusal("http://clips.example/clip", once(["127.0.0.3", "127.0.0.3"]))


def test_redirects_are_checked_anew(connected: Connected) -> None:
    start = "http://clips.example"
    assert fetch("ref_audio", f"{start}/to-to-clip", LIMITS, once(*[["127.0.0.2"]] * 3)) == CLIP
    resolved = by_host(lambda host: ["127.0.0.2" if "clips" in host else host])
    assert "public internet" in refusal(f"{start}/away", resolved)
    assert "public internet" in refusal(f"{start}/to-clip", once(["127.0.0.2"], ["10.0.0.1"]))
    assert "neither http" in refusal(f"{start}/file", once(["127.0.0.2"]))
    assert "port" in refusal(f"{start}/other-port", once(["127.0.0.2"]))
    assert "too often" in refusal(f"{start}/to-to-to-to-clip", once(*[["127.0.0.2"]] * 4))
    assert len(connected) == 11


def test_size_and_time_are_limited(connected: Connected) -> None:
    assert "MiB" in refusal("http://clips.example/clip", once(["127.0.0.2"]), Limits(10_000, 5.0))
    began = time.monotonic()
    for name in ("drip", "slow"):
        refusal(f"http://clips.example/{name}", once(["127.0.0.2"]), Limits(100_000, 0.3))
    assert time.monotonic() - began < 3
    assert "status 404" in refusal("http://clips.example/nothing", once(["127.0.0.2"]))
    assert len(connected) == 4


def test_a_slow_name_server_costs_no_more_than_the_time_there_is(connected: Connected) -> None:
    """Look-ups that were given up are still there; when as many as may be are, the next one waits, and not for ever."""
    answer = threading.Event()

    def look_up(host: str) -> list[str]:
        if host == "slow.example":
            assert answer.wait(20)
        return ["127.0.0.2"]

    two = LookUps(lambda host, _port: look_up(host), at_once=2)
    began = time.monotonic()
    for _ in range(2):
        assert "in time" in refusal("http://slow.example/clip", two, Limits(100_000, 0.2))
    assert "in time" in refusal("http://clips.example/clip", two, Limits(100_000, 0.2))
    assert 0.6 <= time.monotonic() - began < 5
    answer.set()
    assert fetch("ref_audio", "http://clips.example/clip", LIMITS, two) == CLIP
    assert connected == [("127.0.0.2", 80)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for clips.example and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "clips.pem"
    subject = ["-subj", "/CN=clips.example", "-addext", "subjectAltName=DNS:clips.example"]
    files = ["-keyout", str(path), "-out", str(path)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture(scope="module")
def tls_port(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    yield from serving(context)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_must_be_trusted_and_for_the_name(
    certificate: Path, tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_connect = fetching.socket.create_connection

    def connect(_: tuple[str, int], timeout: float) -> Any:
        return real_connect(("127.0.0.1", tls_port), timeout)

    monkeypatch.setattr(fetching.socket, "create_connection", connect)
    anywhere = by_host(lambda _: ["93.184.216.34"])
    assert "does not answer" in refusal("https://clips.example/clip", anywhere)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch("ref_audio", "https://clips.example/clip", LIMITS, anywhere) == CLIP
    assert "does not answer" in refusal("https://other.example/clip", anywhere)


@pytest.mark.usefixtures("connected")
def test_a_handshake_ends_in_time_too() -> None:
    """The server there speaks no TLS: it waits for a line and says nothing."""
    began = time.monotonic()
    assert "in time" in refusal("https://clips.example/drip", once(["127.0.0.2"]), Limits(100_000, 0.3))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "::127.0.0.1", "fec0::1", "feff::1",
        "4000::1", "5f00::1", "3fff::1", "64:ff9b:1::1", "100::1", "192.88.99.1", "", "localhost",
    ],
)  # fmt: skip
def test_what_is_not_the_public_internet(address: str) -> None:
    assert not is_public(address)
    assert "public internet" in refusal("http://clips.example/clip", once([address]))
    assert "public internet" in refusal("http://clips.example/clip", once(["93.184.216.34", address]))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"]
)
def test_what_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://clips.example/clip", "gopher://clips.example/", "http://", "http:///clip",
        "http://user:word@clips.example/", "http://clips.example:99999/", "http://clips.example:22/",
        "http://clips.example:8080/", "https://clips.example:6443/", "http://[::1/", "http://a b/",
        "http://clips.example/\r\nX: y",
    ],
)  # fmt: skip
def test_what_is_no_url_to_fetch_is_not_even_looked_up(url: str) -> None:
    assert refusal(url, once()).startswith("cannot be fetched")


def test_addresses_in_urls_are_checked_too() -> None:
    for host in ("127.0.0.1", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
        assert "public internet" in refusal(f"http://{host}/clip", LookUps())


SPEECH = {"model": "tts-1", "input": "Hello.", "x_vector_only_mode": True, "response_format": "pcm"}


def test_urls_are_off_by_default(app: App) -> None:
    for url in ("http://127.0.0.1:1/clip", "https://clips.example/clip", "file:///etc/passwd"):
        answer = app.http.post("/v1/audio/speech", json={**SPEECH, "ref_audio": url})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "ref_audio")
        assert "URL" in answer.json()["error"]["message"]


def test_urls_can_be_switched_on(tmp_path: Path, connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App(make_config(tmp_path / "voices", fetch_urls=True))
    names = {"clips.example": "127.0.0.2", "inside.example": "192.168.1.1"}

    def look_up(host: str, port: int, *_: int, **__: int) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (names.get(host, host), port))]

    monkeypatch.setattr(fetching.socket, "getaddrinfo", look_up)
    answer = app.http.post("/v1/audio/speech", json={**SPEECH, "ref_audio": "http://clips.example/clip"})
    assert answer.status_code == 200
    assert connected == [("127.0.0.2", 80)]
    inside = app.http.post("/v1/audio/speech", json={**SPEECH, "ref_audio": "http://inside.example/clip"})
    assert (inside.status_code, inside.json()["error"]["param"]) == (400, "ref_audio")
    assert app.engines["base-small-bf16"].encoded[0][0] == pytest.approx(2.5, abs=0.1)  # the clip and its silence
    local = app.http.post("/v1/audio/speech", json={**SPEECH, "ref_audio": "file:///etc/passwd"})
    assert local.status_code == 400
