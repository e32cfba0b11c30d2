"""Encoding beside the event loop, while the audio comes in.

A few threads encode for all requests, a piece of at most half a second at a time: libsndfile lets the loop run
meanwhile, and nobody waits longer for a thread than the others' pieces take.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from concurrent.futures import ThreadPoolExecutor

from deployments.web.audio_encoder import AudioEncoder
from models import Samples

ENCODING_THREADS = 2
_threads = ThreadPoolExecutor(ENCODING_THREADS, "audio")


async def encoded(samples: AsyncIterable[Samples], encoder: AudioEncoder) -> AsyncGenerator[bytes]:
    """The bytes of a stream, as they get ready."""
    async for piece in samples:
        if audio := await _done(encoder, lambda piece=piece: encoder.encode(piece)):
            yield audio
    if rest := await _done(encoder, encoder.finish):
        yield rest


async def encoded_file(samples: AsyncIterable[Samples], encoder: AudioEncoder) -> bytearray:
    """A complete file, its headers true."""
    file = bytearray()
    async for audio in encoded(samples, encoder):
        file += audio
    for position, correct in encoder.corrections():
        file[position : position + len(correct)] = correct
    return file


async def _done(encoder: AudioEncoder, work: Callable[[], bytes]) -> bytes:
    if not encoder.takes_long:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_threads, work)
