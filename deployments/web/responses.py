"""A speech as an HTTP response: a whole file, a stream, server-sent events, or JSON."""

import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.errors import describe
from deployments.speech import Speech
from deployments.web.audio_encoder import MEDIA_TYPES, AudioEncoder, make_encoder
from deployments.web.encoding import encoded, encoded_file
from deployments.web.schemas import AudioFormat, ErrorBody, SpeechJson
from models import SpeechError

logger = logging.getLogger(__name__)

PIECE_BYTES = 3 * 64 * 1024  # of a whole file that are sent at once; three bytes are four letters of base64


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a client wants its audio."""

    format: AudioFormat
    as_json: bool = False


def _headers(speech: Speech) -> dict[str, str]:
    """What is known when the first samples are there."""
    headers = {
        "X-Sample-Rate": str(speech.sample_rate),
        "X-Model": speech.model_id,
        "X-Seed": str(speech.accepted.seed),
        "X-Queue-Position": str(speech.accepted.queue_position),
        "X-ETA-Seconds": f"{speech.accepted.eta_s:.2f}",
    }
    if speech.voice is not None:
        headers["X-Voice"] = speech.voice
    return headers


async def whole_response(speech: Speech, delivery: Delivery) -> Response:
    """The finished file with true sizes; what goes wrong on the way is still a status."""
    encoder = make_encoder(delivery.format, speech.sample_rate)
    async with aclosing(speech):
        audio = await encoded_file(speech, encoder)
    assert speech.finished is not None, "a speech that was read to its end has finished"
    if delivery.as_json:
        return _json_response(speech, delivery, audio)
    headers = {
        **_headers(speech),
        "X-Audio-Duration": f"{speech.seconds:.3f}",
        "X-RTF": f"{speech.real_time_factor:.3f}",
        "X-Finish-Reason": speech.finished.reason,
        "Content-Length": str(len(audio)),
    }
    return StreamingResponse(_pieces(audio), media_type=MEDIA_TYPES[delivery.format], headers=headers)


def _json_response(speech: Speech, delivery: Delivery, audio: bytearray) -> Response:
    """A SpeechJson whose audio is turned into base64 as it is sent: of megabytes that takes long, all at once."""
    empty = _speech_json(speech, delivery, audio="").model_dump_json().encode()
    before, quotes, after = empty.partition(b'""')
    assert quotes, "the audio is the first field, and it is empty"

    def pieces() -> Iterator[bytes]:
        yield before + b'"'
        yield from map(base64.b64encode, _pieces(audio))
        yield b'"' + after

    length = len(empty) + 4 * -(-len(audio) // 3)
    headers = {**_headers(speech), "Content-Length": str(length)}
    return StreamingResponse(pieces(), media_type="application/json", headers=headers)


def _pieces(audio: bytearray) -> Iterator[bytes]:
    """Starlette takes each of them in a thread, so that the event loop has its turn in between."""
    for start in range(0, len(audio), PIECE_BYTES):
        yield bytes(audio[start : start + PIECE_BYTES])


def _speech_json(speech: Speech, delivery: Delivery, audio: str) -> SpeechJson:
    assert speech.finished is not None
    return SpeechJson(
        audio=audio,
        format=delivery.format,
        sample_rate=speech.sample_rate,
        duration_s=round(speech.seconds, 3),
        model=speech.model_id,
        voice=speech.voice,
        rtf=round(speech.real_time_factor, 3),
        seed=speech.accepted.seed,
        finish_reason=speech.finished.reason,
    )


def streamed_response(speech: Speech, delivery: Delivery) -> Response:
    """Audio as it is made. A speech that breaks off breaks the connection: a client cannot take it for the end."""
    encoder = make_encoder(delivery.format, speech.sample_rate)
    return _ClosingStream(
        speech,
        encoded(speech, encoder),
        media_type=MEDIA_TYPES[delivery.format],
        headers=_headers(speech),
    )


def event_response(speech: Speech, delivery: Delivery) -> Response:
    """Audio as server-sent events in OpenAI's form; a speech that breaks off ends with an error event."""
    encoder = make_encoder(delivery.format, speech.sample_rate)
    headers = {**_headers(speech), "Cache-Control": "no-cache"}
    return _ClosingStream(speech, _events(speech, encoder), media_type="text/event-stream", headers=headers)


class _ClosingStream(StreamingResponse):
    """Closes its speech also when the client went away before the first byte was sent."""

    def __init__(self, speech: Speech, content: AsyncIterator[bytes], media_type: str, headers: dict[str, str]) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._speech = speech

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._speech):
            await super().__call__(scope, receive, send)


async def _events(speech: Speech, encoder: AudioEncoder) -> AsyncIterator[bytes]:
    try:
        async for audio in encoded(speech, encoder):
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode("ascii")})
    except SpeechError as error:
        logger.warning("a speech broke off: %s", error)
        yield _event({"type": "speech.audio.error", **describe(error)})
        return
    assert speech.finished is not None
    spoken, prompt = speech.finished.frames, speech.finished.prompt_tokens
    usage = {"input_tokens": prompt, "output_tokens": spoken, "total_tokens": prompt + spoken}
    yield _event({"type": "speech.audio.done", "usage": usage, "finish_reason": speech.finished.reason})


def _event(content: dict[str, object]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def _documented(kind: str, description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


# The headers above, as the OpenAPI document tells them.
AUDIO_HEADERS = {
    "X-Sample-Rate": _documented("integer", "samples a second"),
    "X-Model": _documented("string", "id of the model that spoke"),
    "X-Voice": _documented("string", "id of the voice; absent where the request brought or described it"),
    "X-Seed": _documented("integer", "with it the same request gives the same audio"),
    "X-Queue-Position": _documented("integer", "when it was accepted; 0: it started at once"),
    "X-ETA-Seconds": _documented("number", "seconds until its start, as predicted when it was accepted"),
    "X-Audio-Duration": _documented("number", "seconds of audio; not of a stream"),
    "X-RTF": _documented("number", "wall time over audio time; not of a stream"),
    "X-Finish-Reason": _documented(
        "string", "eos, length (cut at the limit) or runaway (noise was cut); not of a stream"
    ),
}
OVERLOADED: dict[str, Any] = {
    "model": ErrorBody,
    "description": "Too much is waiting, or it would start after its deadline",
    "headers": {
        "Retry-After": _documented("integer", "seconds until another try is predicted to be accepted, 1 to 120")
    },
}
