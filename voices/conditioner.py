"""A request, spoken by a voice."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from models import SynthesisRequest, VoicePrompt
from models.errors import InvalidRequestError
from voices.voice import Encode, Voice


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
