"""/api/v1: the project's own routes."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from deployments.web.accept import quality
from deployments.web.audio_encoder import MEDIA_TYPES
from deployments.web.json_route import JsonRoute
from deployments.web.responses import AUDIO_HEADERS, OVERLOADED
from deployments.web.schemas import (
    AudioFormat,
    CloneBody,
    DeletedBody,
    DesignBody,
    SpeechJson,
    StatusBody,
    SynthesizeBody,
    VoiceBody,
    VoicesBody,
)
from deployments.web.services import InjectedServices
from deployments.web.uploads import body_description, read_clone
from deployments.web.voices import describe_voice, describe_voices

router = APIRouter(prefix="/api/v1", tags=["api"], route_class=JsonRoute)

AUDIO: dict[int | str, dict[str, Any]] = {
    200: {
        "model": SpeechJson,
        "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
        "headers": AUDIO_HEADERS,
    },
    429: OVERLOADED,
}
CLONE_FORM = {"voice_name": "", "reference_audio": "binary", "reference_text": "", "language": "", "description": ""}


def _wants_json(request: Request, audio_format: AudioFormat) -> bool:
    """Whether JSON is asked for rather than audio: what takes both gets audio."""
    accepted = ", ".join(request.headers.getlist("accept"))
    return quality(accepted, "application/json") > quality(accepted, MEDIA_TYPES[audio_format])


@router.post("/tts/synthesize", response_class=Response, responses=AUDIO)
async def synthesize(body: SynthesizeBody, request: Request, services: InjectedServices) -> Response:
    """Speak a text with a voice."""
    return await services.speech.synthesize(body, _wants_json(request, body.format))


@router.post("/tts/design", response_class=Response, responses=AUDIO)
async def design(body: DesignBody, request: Request, services: InjectedServices) -> Response:
    """Speak a text with a voice that is described in words."""
    return await services.speech.design(body, _wants_json(request, body.format))


@router.post(
    "/tts/clone",
    status_code=201,
    responses={429: OVERLOADED},
    openapi_extra=body_description(CloneBody, CLONE_FORM),
)
async def clone(request: Request, services: InjectedServices) -> VoiceBody:
    """Make a voice from a clip."""
    return describe_voice(await services.voices.clone(await read_clone(request)))


@router.get("/tts/voices")
async def voices(services: InjectedServices) -> VoicesBody:
    """All voices."""
    return VoicesBody(voices=describe_voices(await services.voices.listing()))


@router.get("/tts/voices/{voice}")
async def voice(voice: str, services: InjectedServices) -> VoiceBody:
    """One voice, by name or id."""
    return describe_voice(await services.voices.get(voice))


@router.delete("/tts/voices/{voice}")
async def delete_voice(voice: str, services: InjectedServices) -> DeletedBody:
    """Delete a voice, by name or id."""
    return DeletedBody(id=await services.voices.delete(voice))


@router.get("/status")
async def status(services: InjectedServices) -> StatusBody:
    """The models and the machine."""
    return await services.status.status()
