"""What breaks while it runs: processes killed under their requests, a full disk, a client that does not read."""

import os
import resource
import signal
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from benchmarks.processes import MIB, bytes_by_name, process_tree, usages
from tests.deployments.helpers import make_clip, tree
from tests.e2e.asked import Asked
from tests.e2e.server import Server
from tests.e2e.speech import CLONE, SPOKEN, SYNTHESIZE, long_text, samples_of
from tests.waiting import TIMEOUT, until

MODEL = "base-small-bf16"
LONG: dict[str, Any] = {**SPOKEN, "model": MODEL, "text": long_text(80), "seed": None}
RECOVERY_S = 60.0  # alone on two cores it takes 5 to 6 s; the machine may be busy


@pytest.fixture
def asked(server: Server) -> tuple[Asked, Asked, Asked]:
    """A whole file and a stream from one model, both begun, and a whole file from another."""
    whole = Asked(server, LONG)
    stream = Asked(server, {**LONG, "stream": True})
    other = Asked(server, {**SPOKEN, "model": "base-small-fp32", "text": SPOKEN["text"] * 5})
    assert stream.begun.wait(TIMEOUT)  # the first one was asked before it, and is as long
    assert whole.is_alive()
    return whole, stream, other


def slots_used(server: Server) -> int:
    return next(model for model in server.status() if model["id"] == MODEL)["slots_used"] or 0


def kill(server: Server, title: str) -> int:
    """SIGKILL the one process of this title; its id."""
    [process] = [process for process, name in process_tree(server.process.pid).items() if name == title]
    os.kill(process, signal.SIGKILL)
    return process


def seconds_until_it_speaks(server: Server) -> float:
    began = time.monotonic()
    while True:
        try:
            answer = server.post(SYNTHESIZE, {**SPOKEN, "model": MODEL})
        except httpx.HTTPError:
            answer = None
        if answer is not None and answer.status_code == 200:
            samples_of(answer.content)
            return time.monotonic() - began
        assert time.monotonic() - began < RECOVERY_S
        time.sleep(0.1)


def test_a_replica_killed_under_its_requests(server: Server, asked: tuple[Asked, Asked, Asked]) -> None:
    whole, stream, other = asked
    kill(server, f"ray::ServeReplica:tts:{MODEL}")
    answer = whole.ended().answer
    assert answer is not None
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert isinstance(stream.ended().broken, httpx.RemoteProtocolError), "a short success"
    assert seconds_until_it_speaks(server) < RECOVERY_S
    until(lambda: all(model["state"] == "ready" for model in server.status()))
    untouched = other.ended().answer
    assert untouched is not None
    assert untouched.status_code == 200


@pytest.mark.parametrize("title", ["ray::ServeReplica:tts:ingress", "ray::ProxyActor"])
def test_what_carries_requests_killed_under_them(server: Server, asked: tuple[Asked, Asked, Asked], title: str) -> None:
    kill(server, title)
    for request in asked[:2]:
        broken, answer = request.ended().broken, request.answer
        assert broken is not None or (answer is not None and answer.status_code >= 500)
    assert seconds_until_it_speaks(server) < RECOVERY_S


@contextmanager
def full_disk(process: int) -> Generator[None]:
    """From here on no file of a process grows past a few bytes: the nearest to a full disk that needs no root."""
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (16, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_while_a_voice_is_saved(server: Server) -> None:
    form = {"voice_name": "Berta", "reference_text": "A tone."}
    clip = {"reference_audio": ("clip.wav", make_clip())}
    server.post(SYNTHESIZE, SPOKEN)
    before = tree(server.voices)
    [ingress] = [
        process for process, name in process_tree(server.process.pid).items() if name == "ray::ServeReplica:tts:ingress"
    ]
    with full_disk(ingress):
        refused = httpx.post(server.url + CLONE, data=form, files=clip, timeout=TIMEOUT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "voice_storage_failed")
    assert refused.headers["retry-after"]
    assert tree(server.voices) == before
    made = httpx.post(server.url + CLONE, data=form, files=clip, timeout=TIMEOUT)
    assert made.status_code == 201
    samples_of(server.post(SYNTHESIZE, {**SPOKEN, "voice": "berta"}).content)


def proxy_bytes(server: Server) -> int:
    return bytes_by_name(usages(server.process.pid))["ray::ProxyActor"]


def test_a_client_that_does_not_read_holds_no_slot(server: Server) -> None:
    body = {**LONG, "text": long_text(8), "seed": 3, "stream": True}
    before = proxy_bytes(server)
    transport = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)])
    with (
        httpx.Client(transport=transport, timeout=TIMEOUT) as client,
        client.stream("POST", server.url + SYNTHESIZE, json=body) as answer,
    ):
        until(lambda: slots_used(server) == 0)
        waiting = proxy_bytes(server) - before
        late = answer.read()
    assert late == server.post(SYNTHESIZE, body).content
    assert waiting < len(late) + 32 * MIB
