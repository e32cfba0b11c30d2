"""Voices as they are listed."""

from deployments.web.schemas import VoiceBody
from voices import BrokenVoice, Listing, Voice


def describe_voices(found: Listing) -> list[VoiceBody]:
    """Every voice; broken ones last, with what is wrong as their description."""
    return [
        *(describe_voice(voice) for voice in found.voices),
        *(_describe_broken(voice) for voice in found.broken),
    ]


def describe_voice(voice: Voice) -> VoiceBody:
    """A voice as it is listed."""
    return VoiceBody(
        id=voice.id,
        name=voice.name,
        kind=voice.kind,
        description=voice.description,
        languages=list(voice.languages),
        created_at=voice.created_at,
        mode=voice.mode,
        warnings=list(voice.warnings),
    )


def _describe_broken(voice: BrokenVoice) -> VoiceBody:
    return VoiceBody(
        id=voice.id,
        name=voice.id,
        kind="broken",
        description=voice.reason,
        languages=[],
        created_at=None,
        mode=None,
        warnings=[],
    )
