"""/v1: OpenAI's routes, for clients that know nothing of this project."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import ModelNotFoundError, renamed_fields
from deployments.web.audio_encoder import MEDIA_TYPES
from deployments.web.json_route import JsonRoute
from deployments.web.responses import AUDIO_HEADERS, OVERLOADED
from deployments.web.schemas import (
    DeletedBody,
    ModelCard,
    ModelCards,
    SpeechBody,
    VoiceBody,
    VoiceNamesBody,
    VoicesBody,
    VoiceUploadBody,
)
from deployments.web.services import InjectedServices
from deployments.web.uploads import body_description, read_openai_voice
from deployments.web.voices import describe_voice, describe_voices

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JsonRoute)

VOICE_FORM = {"name": "", "audio_sample": "binary", "ref_text": "", "consent": ""}


@router.post(
    "/audio/speech",
    response_class=Response,
    responses={
        200: {
            "content": {media_type: {} for media_type in (*MEDIA_TYPES.values(), "text/event-stream")},
            "headers": AUDIO_HEADERS,
        },
        429: OVERLOADED,
    },
)
async def speech(body: SpeechBody, services: InjectedServices) -> Response:
    """Speak."""
    return await services.speech.openai_speech(body)


@router.get("/models")
@router.get("/audio/models")
async def models(services: InjectedServices) -> ModelCards:
    """The configured models."""
    return ModelCards(data=[ModelCard(id=model.id, created=services.started_at) for model in services.router.models])


@router.get("/models/{model:path}")
async def model(model: str, services: InjectedServices) -> ModelCard:
    """One model, by id or checkpoint."""
    found = services.router.find_leniently(model)
    if found is None:
        raise ModelNotFoundError(f"{model!r} is a name of OpenAI's; GET /v1/models lists what is here")
    return ModelCard(id=found.id, created=services.started_at)


@router.get("/audio/voices")
async def voices(services: InjectedServices, legacy: bool = False) -> VoicesBody | VoiceNamesBody:
    """All voices: objects, or with `legacy=true` their names."""
    found = describe_voices(await services.voices.listing())
    return VoiceNamesBody(voices=[voice.name for voice in found]) if legacy else VoicesBody(voices=found)


@router.post(
    "/audio/voices",
    status_code=201,
    responses={429: OVERLOADED},
    openapi_extra=body_description(VoiceUploadBody, VOICE_FORM),
)
async def create_voice(request: Request, services: InjectedServices) -> VoiceBody:
    """Make a voice from a clip."""
    clip, names = await read_openai_voice(request)
    with renamed_fields(names):
        return describe_voice(await services.voices.clone(clip))


@router.delete("/audio/voices/{voice}")
async def delete_voice(voice: str, services: InjectedServices) -> DeletedBody:
    """Delete a voice, by name or id."""
    return DeletedBody(id=await services.voices.delete(voice))
