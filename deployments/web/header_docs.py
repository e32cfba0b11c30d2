"""The headers of answers with audio, as the OpenAPI document tells them."""

from typing import Any

from deployments.web.schemas import ErrorBody


def _header(kind: str, description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


AUDIO_HEADERS = {
    "X-Sample-Rate": _header("integer", "samples a second"),
    "X-Model": _header("string", "id of the model that spoke"),
    "X-Voice": _header("string", "id of the voice; absent where the request brought or described it"),
    "X-Seed": _header("integer", "with it the same request gives the same audio"),
    "X-Queue-Position": _header("integer", "when it was accepted; 0: it started at once"),
    "X-ETA-Seconds": _header("number", "seconds until its start, as predicted when it was accepted"),
    "X-Audio-Duration": _header("number", "seconds of audio; not of a stream"),
    "X-RTF": _header("number", "wall time over audio time; not of a stream"),
    "X-Finish-Reason": _header("string", "eos, length (cut at the limit) or runaway (noise was cut); not of a stream"),
}
OVERLOADED: dict[str, Any] = {
    "model": ErrorBody,
    "description": "Too much is waiting, or it would start after its deadline",
    "headers": {"Retry-After": _header("integer", "seconds until another try is predicted to be accepted, 1 to 120")},
}
