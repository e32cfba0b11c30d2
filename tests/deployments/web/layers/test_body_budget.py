"""Bodies of many requests at once, over the app itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from deployments.web.app import create_app
from tests.deployments.helpers import App, make_config

SPEECH = "/v1/audio/speech"
JSON = {"Content-Type": "application/json"}
# Refused because it is no audio, but only when it has been read.
LARGE = json.dumps({"input": "Hi", "model": "tts-1", "ref_audio": "A" * 700_000, "x_vector_only_mode": True}).encode()
SMALL = json.dumps({"input": "Hi", "model": "tts-1", "voice": "alloy"}).encode()

Scenario = Callable[[httpx.AsyncClient], Awaitable[None]]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(make_config(tmp_path / "voices", max_body_mb=1, max_bodies_mb=1))
    yield made
    made.close()


class SlowBody:
    """A body without a declared length whose end comes when it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.end = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        yield LARGE[:-10]
        self.begun.set()
        await self.end.wait()
        yield LARGE[-10:]


def run(app: App, scenario: Scenario) -> None:
    async def all_of_it() -> None:
        transport = httpx.ASGITransport(create_app(app.config, app.servers), client=("127.0.0.1", 50000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=JSON) as client:
            await scenario(client)

    asyncio.run(all_of_it())


async def chunked() -> AsyncIterator[bytes]:
    yield LARGE


def assert_no_room(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_bodies")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert "x-should-retry" not in answer.headers


def assert_was_read(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "ref_audio")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beside_others_is_refused_until_there_is_room(app: App, declared: bool) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        slow = SlowBody()
        first = asyncio.ensure_future(client.post(SPEECH, content=slow.pieces()))
        await slow.begun.wait()
        assert_no_room(await client.post(SPEECH, content=LARGE if declared else chunked()))
        assert (await client.post(SPEECH, content=SMALL)).status_code == 200
        slow.end.set()
        assert_was_read(await first)
        for _ in range(3):
            assert_was_read(await client.post(SPEECH, content=LARGE if declared else chunked()))

    run(app, scenario)


def test_a_client_that_leaves_leaves_its_room(app: App) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        for _ in range(3):
            slow = SlowBody()
            first = asyncio.ensure_future(client.post(SPEECH, content=slow.pieces()))
            await slow.begun.wait()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        assert_was_read(await client.post(SPEECH, content=LARGE))

    run(app, scenario)


def test_what_is_declared_and_not_sent_takes_no_room(app: App) -> None:
    async def nothing_yet(end: asyncio.Event) -> AsyncIterator[bytes]:
        await end.wait()
        yield LARGE

    async def scenario(client: httpx.AsyncClient) -> None:
        end = asyncio.Event()
        length = {"Content-Length": str(len(LARGE))}
        promises = [asyncio.ensure_future(client.post(SPEECH, content=nothing_yet(end), headers=length)) for _ in "123"]
        await asyncio.sleep(0.05)
        assert_was_read(await client.post(SPEECH, content=LARGE))
        end.set()
        for answer in await asyncio.gather(*promises):
            assert answer.status_code in (400, 503)  # they come all at once

    run(app, scenario)
