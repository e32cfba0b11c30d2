"""A request for speech on its way, while a test does something else."""

import threading
from typing import Any

import httpx

from tests.e2e.server import Server
from tests.e2e.speech import SYNTHESIZE
from tests.waiting import TIMEOUT


class Asked(threading.Thread):
    """A request, asked at once: what was heard of it, and its answer or the way it broke."""

    def __init__(self, server: Server, body: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._body = body
        self.begun = threading.Event()  # some of the answer is there
        self.heard = b""
        self.answer: httpx.Response | None = None
        self.broken: httpx.HTTPError | None = None
        self.start()

    def run(self) -> None:
        try:
            with httpx.stream(
                "POST",
                self._server.url + SYNTHESIZE,
                json=self._body,
                headers=dict(self._server.headers),
                timeout=TIMEOUT,
            ) as answer:
                for piece in answer.iter_raw():
                    self.heard += piece
                    self.begun.set()
                self.answer = answer
        except httpx.HTTPError as error:
            self.broken = error

    def ended(self) -> "Asked":
        self.join(TIMEOUT)
        assert not self.is_alive(), "it hangs"
        return self

    def status(self) -> int:
        """Of the answer, once it has ended."""
        answer = self.ended().answer
        assert answer is not None, self.broken
        return answer.status_code
