"""From an engine's thread into an event loop: what it says about one utterance."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

import numpy as np

from models import AudioChunk, Finished, SpeechEvent

MAX_CHUNK_FRAMES = 6  # 480 ms: streams have no backpressure, so their pieces stay between 80 and 500 ms


def regroup(chunks: Iterable[AudioChunk]) -> Iterator[AudioChunk]:
    """The same consecutive samples in as few pieces as may be, none longer than MAX_CHUNK_FRAMES."""
    waiting = list(chunks)
    if not waiting:
        return
    samples = np.concatenate([chunk.samples for chunk in waiting])
    frames = sum(chunk.frames for chunk in waiting)
    per_frame = -(-len(samples) // frames)  # rounded up: the last frame of an utterance may be cut
    for start in range(0, frames, MAX_CHUNK_FRAMES):
        length = min(MAX_CHUNK_FRAMES, frames - start)
        piece = samples[start * per_frame : (start + length) * per_frame]
        yield AudioChunk(piece, waiting[0].first_frame + start, length)


class EventBridge:
    """Carries events from an engine's thread into an event loop. The bridge itself is the engine's listener."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: asyncio.Queue[SpeechEvent] = asyncio.Queue()

    def __call__(self, event: SpeechEvent) -> None:
        """Called in the engine's thread; returns at once."""
        if not self._loop.is_closed():  # closed: the process is ending and nobody listens any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self) -> AsyncIterator[SpeechEvent]:
        """All events to the last one, regrouped: what has piled up leaves in one piece."""
        while True:
            batch = [await self._events.get()]
            while not self._events.empty():
                batch.append(self._events.get_nowait())
            for chunk in regroup(event for event in batch if isinstance(event, AudioChunk)):
                yield chunk
            if isinstance(batch[-1], Finished):
                yield batch[-1]
                return
