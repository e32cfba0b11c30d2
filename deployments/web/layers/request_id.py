"""The id by which a client and the logs speak of a request. To the engine it means nothing: requests there have ids of
their own, which no client chooses."""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "x-request-id"
_ID = re.compile(r"[A-Za-z0-9._:~-]{1,128}")


def settle_request_id(scope: Scope) -> str:
    """The client's id where it is one, else a new one; afterwards the scope has this one and no other."""
    headers = MutableHeaders(scope=scope)
    request_id = headers.get(REQUEST_ID, "")
    if not _ID.fullmatch(request_id):
        request_id = uuid.uuid4().hex
    headers[REQUEST_ID] = request_id
    return request_id


class RequestId:
    """Every request has an id that is fit for logs, and every response says which request it answers.

    Where the request comes with an id, Ray's proxy is before this, and says it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said_by_proxy = REQUEST_ID in Headers(scope=scope)
        request_id = settle_request_id(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, send if said_by_proxy else send_with_id)
