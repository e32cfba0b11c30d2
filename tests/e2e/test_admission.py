"""Overload, deadlines and clients that leave, against the whole of it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from tests.e2e.server import Server
from tests.e2e.speech import DESIGN, DESIGNED, SYNTHESIZE, long_text
from tests.waiting import TIMEOUT, until

LONG: dict[str, Any] = {"text": long_text(100), "voice": "narrator_cloned"}


def test_the_proxy_does_not_take_orders_from_clients(server: Server) -> None:
    """A client that has the proxy end its request at once gets its audio all the same."""
    headers = {"x-request-timeout-seconds": "0.05"}
    answer = server.post(DESIGN, {**DESIGNED, "text": LONG["text"][:1000]}, **headers)
    assert answer.status_code == 200
    assert float(answer.headers["x-audio-duration"]) > 5


@pytest.mark.parametrize("headers", [{}, {"x-request-disconnect-disabled": "?1", "x-request-timeout-seconds": "0"}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_slot_is_free_soon_after_its_client_left(server: Server, headers: dict[str, str], stream: bool) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    with closing(connection):
        body = json.dumps({**LONG, "stream": stream})
        connection.request("POST", SYNTHESIZE, body, {"Content-Type": "application/json", **headers})
        until(lambda: not server.is_idle())
    left = time.monotonic()
    until(server.is_idle)
    assert time.monotonic() - left < 3.0, "one frame step, and what a busy machine takes to tell it"


def test_past_its_deadline_a_request_is_a_504_or_a_broken_stream(server: Server) -> None:
    answer = server.post(SYNTHESIZE, {**LONG, "timeout_s": 0.5}, **{"x-request-timeout-seconds": "0"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_passed")
    body = {**LONG, "timeout_s": 0.8, "stream": True}
    with httpx.stream("POST", server.url + SYNTHESIZE, json=body, timeout=TIMEOUT) as broken:
        assert broken.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            broken.read()


def test_too_much_at_once_is_refused_at_once_and_nobody_is_forgotten(server: Server) -> None:
    bodies = [{**LONG, "timeout_s": 4.0, "seed": index} for index in range(60)]
    began = time.monotonic()
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(partial(server.post, SYNTHESIZE), bodies))
    assert time.monotonic() - began < 30
    assert {answer.status_code for answer in answers} <= {200, 429, 504}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 60 - 4 - 32
    assert all(1 <= int(answer.headers["retry-after"]) <= 120 for answer in refused)
    assert server.status()[0]["rejected"] >= len(refused)
    until(server.is_idle)


def test_batch_work_gives_way_and_says_the_same(server: Server) -> None:
    body = {**LONG, "text": LONG["text"][:600], "priority": "batch"}
    alone = server.post(SYNTHESIZE, {**body, "seed": 1}).content
    with ThreadPoolExecutor(12) as pool:
        batch = [pool.submit(server.post, SYNTHESIZE, {**body, "seed": seed}) for seed in range(12)]
        until(lambda: server.status()[0]["slots_used"] == 4)
        interactive = [server.post(SYNTHESIZE, {**body, "text": "Now.", "priority": "interactive"}) for _ in range(5)]
        answers = [request.result() for request in batch]
    assert {answer.headers["x-queue-position"] for answer in interactive} == {"0"}
    assert {answer.status_code for answer in answers} == {200}
    assert answers[1].content == alone
