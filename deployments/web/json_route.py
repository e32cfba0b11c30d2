"""Routes whose bodies are parsed beside the event loop: with a clip in it, JSON is megabytes."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

SMALL_BYTES = 64 * 1024  # parsed in less time than a thread takes to begin


class JsonRoute(APIRoute):
    """A route with `_JsonRequest`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


class _JsonRequest(Request):
    async def json(self) -> Any:
        """Raises JSONDecodeError, which FastAPI turns into a refusal of the body."""
        body = await self.body()
        if len(body) <= SMALL_BYTES:
            return await super().json()
        try:
            return await asyncio.to_thread(from_json, body)  # several times as fast, and the loop stands still for it
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None
