"""When a request must have been answered."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from deployments.errors import DeadlinePassedError
from deployments.speech.record import current_record
from models import SynthesisRequest


class Deadline:
    """Counted from the moment the request came in: whatever is done before it is spoken takes from its time, and so
    does reading its body."""

    def __init__(self, timeout_s: float) -> None:
        record = current_record.get()
        self._at = (time.monotonic() if record is None else record.began) + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds left, more than none. Raises DeadlinePassedError."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise DeadlinePassedError("the deadline passed before the utterance was begun")
        return left

    def applied(self, request: SynthesisRequest) -> SynthesisRequest:
        """The request with the time that it has left."""
        return replace(request, timeout_s=self.left_s)

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Around what may take long. Raises DeadlinePassedError when it is not done in time."""
        try:
            async with asyncio.timeout(self.left_s):
                yield
        except TimeoutError:
            raise DeadlinePassedError("the deadline passed while the voice was prepared") from None
