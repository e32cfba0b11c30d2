"""From what a client sent to what an engine accepts. Every refusal names the field that is to blame."""

import asyncio
import base64
import binascii
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from deployments.config import AppConfig
from deployments.web.schemas import SamplingBody, SpeechBody, UtteranceBody
from models import (
    InvalidRequestError,
    Priority,
    Sampling,
    SynthesisRequest,
    VoicePrompt,
)
from models.architecture import Kind
from voices import Voice
from voices.voice import Encode

KIND_OF_VOICE: dict[str, Kind] = {"cloned": "base", "designed": "voice_design", "builtin": "custom_voice"}
# The engine's names of fields, as /v1/audio/speech calls them.
OPENAI_FIELDS = {"text": "input", "max_frames": "max_new_tokens", "description": "instructions"}
BASE64_PIECE = 4 * 64 * 1024  # letters that are decoded at once
KIND_OF_TASK: dict[str, Kind] = {"Base": "base", "CustomVoice": "custom_voice", "VoiceDesign": "voice_design"}


def utterance(body: UtteranceBody, config: AppConfig) -> SynthesisRequest:
    """The request of an /api/v1 body, its voice still to be filled in."""
    check_length("text", body.text, config.max_text_characters)
    return SynthesisRequest(
        text=body.text,
        language=body.language.strip().lower(),
        sampling=_sampling(body.sampling, body.seed),
        timeout_s=_timeout(body.timeout_s, config),
        whole=not body.stream,
        priority=Priority(body.priority),
    )


def openai_utterance(body: SpeechBody, config: AppConfig) -> SynthesisRequest:
    """The request of a /v1/audio/speech body, its voice still to be filled in. Errors name the engine's fields."""
    check_length("input", body.input, config.max_input_characters)
    if body.speed != 1.0:
        raise InvalidRequestError("speed", f"{body.speed} is not available: this server speaks at speed 1.0 only")
    if body.response_format == "aac":
        raise InvalidRequestError("response_format", "aac is not available; mp3, opus, flac, wav and pcm are")
    sampling = SamplingBody(
        temperature=body.temperature,
        top_k=body.top_k,
        top_p=body.top_p,
        repetition_penalty=body.repetition_penalty,
    )
    if body.stream_format == "sse" and not body.stream:
        raise InvalidRequestError("stream", "false does not go with stream_format sse")
    return SynthesisRequest(
        text=body.input,
        language=body.language.strip().lower(),
        sampling=_sampling(sampling, body.seed),
        max_frames=body.max_new_tokens,
        timeout_s=config.default_timeout_s,
        whole=not body.stream,
        priority=Priority(body.priority),
    )


def either(first: tuple[str, str | None], second: tuple[str, str | None]) -> str | None:
    """The value of a field that has two names. Raises InvalidRequestError when both are used."""
    if first[1] is not None and second[1] is not None:
        raise InvalidRequestError(second[0], f"is another name of {first[0]}: send one of them")
    return first[1] if first[1] is not None else second[1]


def check_length(field: str, text: str, limit: int) -> None:
    """Raises InvalidRequestError for a text past the configured cap."""
    if len(text) > limit:
        raise InvalidRequestError(field, f"has {len(text)} characters, at most {limit} are allowed")


def check_language(request: SynthesisRequest, languages: Collection[str]) -> None:
    """Raises InvalidRequestError for a language that is not among the model's."""
    if request.language not in {"auto", *languages}:
        known = ", ".join(sorted({"auto", *languages}))
        raise InvalidRequestError("language", f"{request.language!r} is not spoken by this model; it speaks {known}")


def with_description(request: SynthesisRequest, description: str) -> SynthesisRequest:
    """The request, spoken by a designed voice. Raises InvalidRequestError for a description that says nothing."""
    if not any(character.isprintable() and not character.isspace() for character in description):
        raise InvalidRequestError("description", "is empty: describe the voice")
    return replace(request, description=description)


@dataclass(frozen=True, slots=True)
class Conditioner:
    """How cloned voices are prepared for one model: which weights hear them, and what hears them."""

    weights: str  # the same for the same weights and only for them
    languages: Collection[str]  # that the model speaks
    encode: Encode

    def apply(self, request: SynthesisRequest, voice: Voice, style: str | None = None) -> SynthesisRequest:
        """The request, spoken by `voice`; slow where the voice is new to the model. `style` adds to a description.

        Raises InvalidRequestError for a style where a voice takes none, and as `Voice.prompt` does.
        """
        check_style(voice, style)
        prompt = voice.prompt(self.weights, self.encode) if voice.kind == "cloned" else None
        return spoken_by(request, voice, prompt, self.languages, style)


def check_style(voice: Voice, style: str | None) -> None:
    """Raises InvalidRequestError for a style where a voice takes none."""
    if voice.kind == "cloned" and style is not None:
        raise InvalidRequestError("instructions", f"the cloned voice {voice.name!r} takes none")


def spoken_by(
    request: SynthesisRequest,
    voice: Voice,
    prompt: VoicePrompt | None,
    languages: Collection[str],
    style: str | None = None,
) -> SynthesisRequest:
    """The request, spoken by `voice`, of which `prompt` is what the model needs where it is a cloned one.

    A voice of one language speaks it where the request leaves that open and the model knows it.
    """
    if request.language == "auto" and len(voice.languages) == 1 and voice.languages[0] in languages:
        request = replace(request, language=voice.languages[0])
    if prompt is not None:
        return replace(request, voice=prompt)
    if voice.kind == "builtin":
        return replace(request, speaker=voice.speaker, description=style)
    return with_description(request, voice.description if style is None else f"{voice.description} {style}")


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


def _sampling(body: SamplingBody | None, seed: int | None) -> Sampling:
    chosen = {} if body is None else body.model_dump()
    return Sampling(**chosen, seed=seed)


def _timeout(seconds: float | None, config: AppConfig) -> float:
    if seconds is None:
        return config.default_timeout_s
    if seconds > config.max_timeout_s:
        raise InvalidRequestError("timeout_s", f"{seconds} is above the limit of {config.max_timeout_s}")
    return seconds
