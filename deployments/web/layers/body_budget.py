"""The memory that the bodies of all requests together may take: each alone may be within its limit."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.config import AppConfig
from deployments.errors import TooManyBodiesError
from deployments.web.failures import error_response
from deployments.web.layers.body_limit import declared_length

_MESSAGE = "the bodies of other requests take all the memory there is for them; try again"


class BodyBudget:
    """Refuses a body that finds no room beside those of the other requests in flight."""

    def __init__(self, app: ASGIApp, config: AppConfig) -> None:
        self._app = app
        self._free = config.max_bodies_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if declared_length(scope) > self._free:
            await error_response(TooManyBodiesError(_MESSAGE))(scope, receive, send)
            return
        held = 0  # what has come: who declares much and sends it slowly takes nothing from others

        async def receive_within_budget() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            if size > self._free:
                raise HTTPException(503, _MESSAGE)  # the kind that FastAPI lets through while it reads a body
            self._free -= size
            held += size
            return message

        try:
            await self._app(scope, receive_within_budget, send)
        finally:
            self._free += held
