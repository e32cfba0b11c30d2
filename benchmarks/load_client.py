"""One client process of benchmarks.server: sends requests when its plan says, whatever becomes of the others.

Reads a plan as JSON from its standard input and writes what came of each request as JSON to its standard output.
"""

import asyncio
import hashlib
import json
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from benchmarks.load_plan import SPEECH, Ask

BYTES_A_SECOND = 48_000  # 24 kHz mono, 16 bits
WAV_HEADER_BYTES = 44
SLOW_SPEED = 0.5  # seconds of audio a slow client takes a second
SLOW_BUFFER = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]  # so that what it does not read, waits at the server
LONGEST_RETRY_AFTER_S = 120


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request.

    kind: "ok", "left" (on purpose), "429", "503" and other statuses, "broken" (the stream broke off), "short" (it
    ended well and was not whole), "hung" (no end within the limit), "connection" (refused or lost before an answer).
    """

    pattern: str
    seed: int
    kind: str
    at: float  # seconds after the start at which it was due
    seconds: float  # until the end
    first_audio_s: float | None = None  # streams only
    audio_s: float = 0.0
    digest: str | None = None  # of the samples


class _Request:
    """One request on its way."""

    def __init__(self, client: httpx.AsyncClient, ask: Ask) -> None:
        self._client = client
        self._ask = ask
        self._began = time.monotonic()
        self._first_audio_s: float | None = None
        self._answered = False
        self._content = bytearray()

    async def run(self, limit_s: float) -> Outcome:
        """Ask and listen to the end, for at most `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                kind = await self._listen()
        except TimeoutError:
            kind = "hung"
        except (httpx.HTTPError, OSError):
            kind = "broken" if self._answered else "connection"
        samples = bytes(self._content[WAV_HEADER_BYTES:] if self._is_wav else self._content)
        return Outcome(
            pattern=self._ask.pattern,
            seed=self._ask.seed,
            kind=kind,
            at=self._ask.at,
            seconds=time.monotonic() - self._began,
            first_audio_s=self._first_audio_s,
            audio_s=len(samples) / BYTES_A_SECOND,
            digest=hashlib.sha256(samples).hexdigest() if kind == "ok" else None,
        )

    @property
    def _is_wav(self) -> bool:
        return self._ask.body["response_format"] == "wav"

    async def _listen(self) -> str:
        async with self._client.stream("POST", SPEECH, json=self._ask.body) as answer:
            if answer.status_code != 200:
                return _refusal(answer)
            self._answered = True
            async for piece in answer.aiter_raw():
                if self._first_audio_s is None and not self._is_wav:
                    self._first_audio_s = time.monotonic() - self._began
                self._content += piece
                if self._ask.pattern == "leaving":
                    return "left"
                if self._ask.pattern == "slow":
                    await asyncio.sleep(len(piece) / BYTES_A_SECOND / SLOW_SPEED)
            return "ok" if self._is_whole(answer.headers) else "short"

    def _is_whole(self, headers: httpx.Headers) -> bool:
        """A file says how long it is. A stream cannot; HTTP's own framing has said that it ended well."""
        size = len(self._content)
        if not self._is_wav:
            return size > 0 and size % 2 == 0
        riff_bytes, data_bytes = struct.unpack_from("<4xI32xI", self._content)
        told_s = float(headers["x-audio-duration"])
        data = size - WAV_HEADER_BYTES
        return data > 0 and (riff_bytes, data_bytes) == (data + 36, data) and abs(told_s - data / BYTES_A_SECOND) < 1e-3


def _refusal(answer: httpx.Response) -> str:
    """The status; one that may be tried again has to say when."""
    kind = str(answer.status_code)
    if answer.status_code not in (429, 503):
        return kind
    wait = answer.headers.get("retry-after", "")
    return kind if wait.isdigit() and 1 <= int(wait) <= LONGEST_RETRY_AFTER_S else f"{kind} without Retry-After"


async def send(url: str, asks: Sequence[Ask], start: float, limit_s: float) -> list[Outcome]:
    """What came of each request; `start` is a moment of the monotonic clock."""
    slow = any(ask.pattern == "slow" for ask in asks)
    transport = httpx.AsyncHTTPTransport(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
        socket_options=SLOW_BUFFER if slow else None,
    )
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=None) as client:

        async def when_due(ask: Ask) -> Outcome:
            await asyncio.sleep(start + ask.at - time.monotonic())
            return await _Request(client, ask).run(limit_s)

        return await asyncio.gather(*(when_due(ask) for ask in asks))


def main() -> None:
    """Be the process."""
    plan: dict[str, Any] = json.load(sys.stdin)
    asks = [Ask(**ask) for ask in plan["asks"]]
    outcomes = asyncio.run(send(plan["url"], asks, plan["start"], plan["limit_s"]))
    json.dump([asdict(outcome) for outcome in outcomes], sys.stdout)


if __name__ == "__main__":
    main()
