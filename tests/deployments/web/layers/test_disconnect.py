"""Clients that go away: bare ASGI."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from deployments.web.layers.disconnect import StopWhenGone

BODY: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


class Client:
    """Sends what it is made with; goes away when told to."""

    def __init__(self, *messages: Message) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.heard: list[Message] = []
        for message in messages:
            self._messages.put_nowait(message)

    def leave(self) -> None:
        self._messages.put_nowait(GONE)

    async def receive(self) -> Message:
        return await self._messages.get()

    async def send(self, message: Message) -> None:
        self.heard.append(message)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_seconds() -> None:
        async with asyncio.timeout(5):
            await test()

    asyncio.run(within_seconds())


def serve(act: Callable[[Receive, Send], Awaitable[Any]], client: Client) -> asyncio.Task[None]:
    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await act(receive, send)

    async def request() -> None:
        await StopWhenGone(app)({"type": "http"}, client.receive, client.send)

    return asyncio.create_task(request())


class Endless:
    """Work that takes a moment to end."""

    def __init__(self) -> None:
        self.ended = False

    async def __call__(self, receive: Receive, _: Send) -> None:
        await receive()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            self.ended = True


def test_work_for_a_client_that_left_has_ended_when_the_request_has() -> None:
    async def test() -> None:
        work, client = Endless(), Client(BODY)
        request = serve(work, client)
        await asyncio.sleep(0.01)
        client.leave()
        await request
        assert work.ended

    run(test)


def test_cancelling_the_request_cancels_the_work() -> None:
    async def test() -> None:
        work = Endless()
        request = serve(work, Client(BODY))
        await asyncio.sleep(0.01)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert work.ended

    run(test)


def test_a_body_in_pieces_reaches_the_app_and_then_the_news() -> None:
    async def read(receive: Receive, send: Send) -> None:
        assert [(await receive())["body"] for _ in range(2)] == [b"one", b"two"]
        await send({"type": "http.response.body", "more_body": False})
        assert await receive() == GONE

    async def test() -> None:
        pieces = [{"type": "http.request", "body": body, "more_body": body == b"one"} for body in (b"one", b"two")]
        client = Client(*pieces, GONE)
        await serve(read, client)
        assert len(client.heard) == 1

    run(test)


def test_what_the_app_raises_is_raised() -> None:
    async def fail(receive: Receive, _: Send) -> None:
        await receive()
        raise ValueError("broken")

    async def test() -> None:
        with pytest.raises(ValueError, match="broken"):
            await serve(fail, Client(BODY))

    run(test)
