"""Bodies that come as JSON or as multipart forms: new voices."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from deployments.errors import MediaTypeError
from deployments.speech import Clip, decode_audio
from deployments.web.schemas import CloneBody, VoiceUploadBody, Wire
from models import InvalidRequestError

Body = TypeVar("Body", bound=Wire)

CLONE_FORM_FIELDS = frozenset({"voice_name", "reference_audio", "reference_text", "language", "description"})
VOICE_FORM_FIELDS = frozenset({"name", "audio_sample", "ref_text", "consent"})
_REFUSALS = frozenset({"", "0", "false", "no"})


async def read_clone(request: Request) -> Clip:
    """The body of POST /api/v1/tts/clone. Raises RequestValidationError, InvalidRequestError, MediaTypeError."""
    if _is_form(request):
        async with request.form(max_files=1, max_fields=len(CLONE_FORM_FIELDS)) as form:
            _check_fields(form, CLONE_FORM_FIELDS)
            return Clip(
                name=_text(form, "voice_name") or "",
                audio=await _file(form, "reference_audio"),
                text=_text(form, "reference_text"),
                description=_text(form, "description") or "",
                languages=_languages(_text(form, "language")),
            )
    body = await _json(request, CloneBody)
    return Clip(
        name=body.voice_name,
        audio=await decode_audio("reference_audio", body.reference_audio),
        text=body.reference_text,
        description=body.description,
        languages=_languages(body.language),
    )


async def read_openai_voice(request: Request) -> tuple[Clip, Mapping[str, str]]:
    """The body of POST /v1/audio/voices, and what it calls our fields. Raises as `read_clone` does."""
    if _is_form(request):
        async with request.form(max_files=1, max_fields=len(VOICE_FORM_FIELDS)) as form:
            _check_fields(form, VOICE_FORM_FIELDS)
            _check_consent(_text(form, "consent") or None)
            clip = Clip(
                name=_text(form, "name") or "",
                audio=await _file(form, "audio_sample"),
                text=_text(form, "ref_text"),
            )
            return clip, _openai_names("audio_sample")
    body = await _json(request, VoiceUploadBody)
    _check_consent(body.consent)
    clip = Clip(name=body.name, audio=await decode_audio("wav_b64", body.wav_b64), text=body.ref_text)
    return clip, _openai_names("wav_b64")


def body_description(json_body: type[Wire], form_fields: Mapping[str, str]) -> dict[str, Any]:
    """The request body for the OpenAPI document, which FastAPI cannot see. `form_fields`: name to format."""
    properties = {
        name: {"type": "string", "format": kind} if kind else {"type": "string"} for name, kind in form_fields.items()
    }
    required = [name for name in form_fields if name in ("voice_name", "name", "reference_audio", "audio_sample")]
    form = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    content = {
        "application/json": {"schema": json_body.model_json_schema()},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}


def _check_consent(consent: str | bool | None) -> None:
    """What is not said is taken as given. Raises InvalidRequestError."""
    if consent is not None and str(consent).strip().lower() in _REFUSALS:
        raise InvalidRequestError("consent", "must be given to clone a voice")


def _openai_names(audio_field: str) -> dict[str, str]:
    return {"voice_name": "name", "reference_audio": audio_field, "reference_text": "ref_text"}


def _is_form(request: Request) -> bool:
    """Raises MediaTypeError for a body that is neither a form nor JSON."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("multipart/form-data", "application/json"):
        raise MediaTypeError("send the voice as multipart/form-data or application/json")
    return content_type == "multipart/form-data"


async def _json(request: Request, kind: type[Body]) -> Body:
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        located = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors()]
        raise RequestValidationError(located) from None


def _check_fields(form: FormData, known: frozenset[str]) -> None:
    for name in form:
        if name not in known:
            raise InvalidRequestError(name, "is not a field of this form")


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise InvalidRequestError(name, "is a text, not a file")
    return value


async def _file(form: FormData, name: str) -> bytes:
    value = form.get(name)
    if value is None:
        raise InvalidRequestError(name, "is missing")
    if not isinstance(value, UploadFile):
        raise InvalidRequestError(name, "is a file, not a text")
    return await value.read()


def _languages(language: str | None) -> tuple[str, ...]:
    return () if language is None or not language.strip() else (language,)
