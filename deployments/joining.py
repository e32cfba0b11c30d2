"""Identical requests in flight at the same time, computed once.

Only requests that name a seed are joined: theirs is the same audio in any case. A client that tries again while its
first try is still being computed costs nothing. The work ends when the last one who listens has left.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from dataclasses import replace

from deployments.events import ServerEvent
from deployments.reading import Reading
from models import AudioChunk, Finished, FinishReason, SynthesisRequest, VoicePrompt

MAX_KEPT_BYTES = 6 * 1024 * 1024  # a minute of samples: longer, and nobody can join any more


class Joining:
    """The readings of one replica."""

    def __init__(self, read: Callable[[SynthesisRequest], Reading]) -> None:
        """`read` makes a reading that has not started."""
        self._read = read
        self._shared: dict[Hashable, _SharedReading] = {}

    async def events(self, request: SynthesisRequest) -> AsyncGenerator[ServerEvent]:
        """As of `Reading.events`, from the first chunk on for everyone. Leaving early aborts what nobody else hears."""
        key = identity(request)
        source = self._read(request).events() if key is None else self._join(key, request).listen(request.timeout_s)
        async with aclosing(source):
            async for event in source:
                yield event

    def _join(self, key: Hashable, request: SynthesisRequest) -> "_SharedReading":
        shared = self._shared.get(key)
        if shared is None:
            shared = _SharedReading(self._read(request), lambda: self._shared.pop(key, None))
            self._shared[key] = shared
        return shared


class _SharedReading:
    """One reading, those who listen, and what a newcomer has missed."""

    def __init__(self, reading: Reading, close: Callable[[], object]) -> None:
        """`close` is called when nobody may join any more, once or more often. Raises as `Reading.start` does."""
        self._reading = reading
        self._close = close
        self._accepted = reading.start()
        self._accepted_at = time.monotonic()
        self._missed: list[AudioChunk] = []
        self._missed_bytes = 0
        self._listeners: list[asyncio.Queue[AudioChunk | Finished | None]] = []
        self._task = asyncio.create_task(self._run())

    async def listen(self, timeout_s: float | None) -> AsyncGenerator[ServerEvent]:
        """All events, the first of which is told at once; a deadline of one's own."""
        deadline = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        heard: asyncio.Queue[AudioChunk | Finished | None] = asyncio.Queue()
        for chunk in self._missed:
            heard.put_nowait(chunk)
        self._listeners.append(heard)
        self._reading.extend(timeout_s)
        try:
            yield self._accepted_now()
            async for event in self._heard(heard, deadline):
                yield event
        finally:
            self._listeners.remove(heard)
            if not self._listeners:
                self._close()
                self._task.cancel()
                self._reading.stop()

    async def _heard(
        self, heard: "asyncio.Queue[AudioChunk | Finished | None]", deadline: float | None
    ) -> AsyncGenerator[AudioChunk | Finished]:
        frames = 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await heard.get()
            except TimeoutError:
                event = Finished(FinishReason.DEADLINE, frames, self._accepted.seed)
            if event is None:
                await self._task  # raises what ended it
                return
            yield event
            if isinstance(event, Finished):
                return
            frames += event.frames

    def _accepted_now(self) -> ServerEvent:
        """What was said of the first request, as it is by now."""
        if self._missed:
            return replace(self._accepted, queue_position=0, eta_s=0.0)
        passed = time.monotonic() - self._accepted_at
        return replace(self._accepted, eta_s=max(0.0, self._accepted.eta_s - passed))

    async def _run(self) -> None:
        try:
            async with aclosing(self._reading.spoken()) as events:
                async for event in events:
                    self._keep(event)
                    for heard in self._listeners:
                        heard.put_nowait(event)
        finally:
            self._close()
            self._reading.stop()
            for heard in self._listeners:
                heard.put_nowait(None)

    def _keep(self, event: AudioChunk | Finished) -> None:
        """For those who come later, while there are not too many samples."""
        if isinstance(event, Finished):
            self._close()
            return
        self._missed_bytes += event.samples.nbytes
        if self._missed_bytes > MAX_KEPT_BYTES:
            self._close()
            self._missed.clear()
        else:
            self._missed.append(event)


def identity(request: SynthesisRequest) -> Hashable | None:
    """The same for requests whose audio is the same; None where a drawn seed makes each another."""
    sampling = request.sampling
    if sampling.seed is None:
        return None
    return (
        *(request.text, request.language, _voice_identity(request.voice), request.description, request.speaker),
        *(sampling, request.max_frames, request.text_at_once, request.whole, request.priority),
    )


def _voice_identity(voice: VoicePrompt | None) -> Hashable | None:
    if voice is None:
        return None
    codes = voice.reference_codes
    digest = hashlib.blake2b(voice.speaker_embedding.tobytes(), digest_size=16)
    digest.update(b"" if codes is None else codes.tobytes())
    return digest.digest(), None if codes is None else codes.shape, voice.reference_text
