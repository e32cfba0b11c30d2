"""A cloned voice on its way into the library: first what was asked for, then what was heard."""

from collections.abc import Iterable
from dataclasses import dataclass

from models import Samples
from voices.name import parse_name, voice_id
from voices.reference_audio import ReferenceAudio, decode_flac, encode_flac
from voices.text import parse_description, parse_languages, parse_transcript
from voices.voice import Reference, Voice
from voices.voice_file import now


@dataclass(frozen=True, slots=True)
class Recording:
    """A voice that lacks nothing but its conditioning."""

    voice: Voice
    flac: bytes
    samples: Samples  # what the FLAC holds: every model hears the same, now and later


@dataclass(frozen=True, slots=True)
class NewClone:
    """Texts that were checked, before anything costly is done."""

    name: str
    text: str | None
    description: str
    languages: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str | None, description: str = "", languages: Iterable[str] = ()) -> "NewClone":
        """Raises VoiceNameError and InvalidRequestError."""
        return cls(
            parse_name(name),
            parse_transcript(text),
            parse_description(description, required=False),
            parse_languages(languages),
        )

    def recorded(self, clip: ReferenceAudio) -> Recording:
        """The voice, with a clip that was checked."""
        flac = encode_flac(clip.samples)
        samples = decode_flac(flac)
        reference = Reference.of(flac, len(samples), self.text)
        voice = Voice(voice_id(self.name), self.name, "cloned", self.description, self.languages, now(), reference)
        return Recording(voice, flac, samples)
