"""A client that goes away stops the work for it, here and at once.

Ray's proxy stops it too, unless the request has a header that tells the proxy not to look. This looks by itself.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.speech import current_record

NEWS_S = 0.2  # how long after Ray's proxy has cancelled a request the news may take that its client has gone


class StopWhenGone:
    """Cancels the app when the client has disconnected before the response was complete."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = _Connection(receive, send)
        work = asyncio.ensure_future(self._app(scope, connection.receive, connection.send))
        gone = asyncio.ensure_future(connection.wait_until_gone())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() and not connection.answered:
                work.cancel()
            await asyncio.wait({work})
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)  # what it has open is closed before anything else
            await self._note(gone, connection, NEWS_S if work.cancelled() else 0.0)
        if not work.cancelled():
            work.result()

    @staticmethod
    async def _note(gone: asyncio.Future[None], connection: "_Connection", patience_s: float) -> None:
        """Tell the request's record whether it was the client who ended it: it may as well have been the server."""
        try:
            await asyncio.wait({gone}, timeout=patience_s)
            if gone.done() and not connection.answered and (record := current_record.get()) is not None:
                record.client_left = True
        finally:
            gone.cancel()


class _Connection:
    """Both ends of one request, watched."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._was_read = asyncio.Event()
        self._is_gone = asyncio.Event()
        self.answered = False

    async def receive(self) -> Message:
        """The body; after it nothing but the news that the client has gone."""
        if self._was_read.is_set():
            await self._is_gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if not message.get("more_body", False):
            self._was_read.set()
        return message

    async def send(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.answered = True

    async def wait_until_gone(self) -> None:
        await self._was_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone.set()
