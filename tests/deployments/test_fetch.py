"""Fetching URLs: against servers on this machine, which a resolver of the test calls public."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployments import fetch as fetching
from deployments.fetch import Limits, fetch, is_public
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
            self._answer(302, b"", location="http://127.0.0.1:1/clip")
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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def _as_if_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 counts as an address of the internet; 127.0.0.1 stays what it is."""
    real = fetching.is_public

    def is_public_here(address: str) -> bool:
        return address == "127.0.0.2" or real(address)

    monkeypatch.setattr(fetching, "is_public", is_public_here)
    monkeypatch.setattr(fetching.socket, "create_connection", _connect_locally(fetching.socket.create_connection))


def _connect_locally(real: Any) -> Any:
    def connect(address: tuple[str, int], timeout: float) -> Any:
        assert address[0] == "127.0.0.2", f"connected to {address[0]}, which nobody checked"
        return real(("127.0.0.1", address[1]), timeout)

    return connect


def once(*answers: list[str]) -> fetching.Resolve:
    """Gives these addresses, one list a look-up; looking up once more than that is an error."""
    waiting = list(answers)
    return lambda _host, _port: waiting.pop(0)


def refusal(url: str, resolver: fetching.Resolve, limits: Limits = LIMITS) -> str:
    with pytest.raises(InvalidRequestError) as refused:
        fetch("ref_audio", url, limits, resolver)
    assert refused.value.field == "ref_audio"
    return refused.value.message


@pytest.mark.usefixtures("_as_if_public")
def test_a_clip_is_fetched_from_the_address_that_was_checked(port: int) -> None:
    resolver = once(["127.0.0.2"])  # a second look-up, which could say something else, would fail
    assert fetch("ref_audio", f"http://clips.example:{port}/clip", LIMITS, resolver) == CLIP
    named = fetch("ref_audio", f"http://clips.example:{port}/host", LIMITS, once(["127.0.0.2"]))
    assert named == f"clips.example:{port}".encode()


@pytest.mark.usefixtures("_as_if_public")
def test_redirects_are_checked_anew(port: int) -> None:
    start = f"http://clips.example:{port}"
    assert fetch("ref_audio", f"{start}/to-to-clip", LIMITS, once(*[["127.0.0.2"]] * 3)) == CLIP
    assert "public internet" in refusal(f"{start}/away", lambda host, _: ["127.0.0.2" if "clips" in host else host])
    assert "public internet" in refusal(f"{start}/to-clip", once(["127.0.0.2"], ["10.0.0.1"]))
    assert "neither http" in refusal(f"{start}/file", once(["127.0.0.2"]))
    assert "too often" in refusal(f"{start}/to-to-to-to-clip", once(*[["127.0.0.2"]] * 4))


@pytest.mark.usefixtures("_as_if_public")
def test_size_and_time_are_limited(port: int) -> None:
    assert "MiB" in refusal(f"http://clips.example:{port}/clip", once(["127.0.0.2"]), Limits(10_000, 5.0))
    began = time.monotonic()
    for name in ("drip", "slow"):
        refusal(f"http://clips.example:{port}/{name}", once(["127.0.0.2"]), Limits(100_000, 0.3))
    assert time.monotonic() - began < 3
    assert "status 404" in refusal(f"http://clips.example:{port}/nothing", once(["127.0.0.2"]))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "::127.0.0.1", "", "localhost",
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
        "http://user:word@clips.example/", "http://clips.example:99999/", "http://[::1/", "http://a b/",
        "http://clips.example/\r\nX: y",
    ],
)  # fmt: skip
def test_what_is_no_url_to_fetch_is_not_even_looked_up(url: str) -> None:
    assert refusal(url, once()).startswith("cannot be fetched")


def test_addresses_in_urls_are_checked_too() -> None:
    for host in ("127.0.0.1", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
        assert "cannot be fetched" in refusal(f"http://{host}:1/clip", fetching.resolve)


SPEECH = {"model": "tts-1", "input": "Hello.", "x_vector_only_mode": True, "response_format": "pcm"}


def test_urls_are_off_by_default(app: App) -> None:
    for url in ("http://127.0.0.1:1/clip", "https://clips.example/clip", "file:///etc/passwd"):
        answer = app.http.post("/v1/audio/speech", json={**SPEECH, "ref_audio": url})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "ref_audio")
        assert "URL" in answer.json()["error"]["message"]


@pytest.mark.usefixtures("_as_if_public")
def test_urls_can_be_switched_on(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App(make_config(tmp_path / "voices", fetch_urls=True))
    monkeypatch.setattr(fetching.fetch, "__defaults__", (once(["127.0.0.2"]),))
    answer = app.http.post("/v1/audio/speech", json={**SPEECH, "ref_audio": f"http://clips.example:{port}/clip"})
    assert answer.status_code == 200
    assert app.engines["base-small-bf16"].encoded[0][0] == pytest.approx(2.5, abs=0.1)  # the clip and its silence
    local = app.http.post("/v1/audio/speech", json={**SPEECH, "ref_audio": "file:///etc/passwd"})
    assert local.status_code == 400
