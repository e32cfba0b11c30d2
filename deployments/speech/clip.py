"""A clip of somebody who speaks, as it arrives."""

import asyncio
import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from models import InvalidRequestError

CLIP_FIELD = "reference_audio"  # what errors call it
BASE64_PIECE = 4 * 64 * 1024  # letters that are decoded at once


@dataclass(frozen=True, slots=True)
class Clip:
    """A voice to be made from a reference clip."""

    name: str
    audio: bytes
    text: str | None
    description: str = ""
    languages: tuple[str, ...] = ()


async def decode_audio(field: str, text: str) -> bytes:
    """The bytes of a base64 string or data URI, decoded beside the event loop. Raises InvalidRequestError."""
    return await asyncio.to_thread(_decoded, field, text)


def _decoded(field: str, text: str) -> bytes:
    payload = text
    if text.startswith("data:"):
        head, separator, payload = text.partition(",")
        if not separator or not head.endswith(";base64"):
            raise InvalidRequestError(field, "is a data URI without base64")
    try:
        audio = b"".join(_decoded_pieces(payload.strip()))
    except (binascii.Error, ValueError):
        raise InvalidRequestError(field, "is not base64") from None
    if not audio:
        raise InvalidRequestError(field, "is empty")
    return audio


def _decoded_pieces(payload: str) -> Iterator[bytes]:
    """Piece by piece, because other threads stand still while one is decoded. Raises ValueError."""
    for start in range(0, len(payload), BASE64_PIECE):
        piece = base64.b64decode(payload[start : start + BASE64_PIECE], validate=True)
        is_last = start + BASE64_PIECE >= len(payload)
        if not is_last and len(piece) != BASE64_PIECE // 4 * 3:
            raise ValueError("padding before the end")
        yield piece
