"""Where the files of one voice lie."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

VOICE_FILE = "voice.json"
REFERENCE_FILE = "reference.flac"
CONDITIONING_FOLDER = "conditioning"


@dataclass(frozen=True, slots=True)
class VoiceFolder:
    """The folder of a voice. A shipped one is never written to: its conditioning is kept with the user's voices."""

    path: Path  # voice.json, reference.flac
    conditioning: Path  # one safetensors file for each model that has spoken with the voice
    staging: Path  # same file system as `conditioning`

    @property
    def voice_file(self) -> Path:
        return self.path / VOICE_FILE

    @property
    def reference_file(self) -> Path:
        return self.path / REFERENCE_FILE

    def prompt_file(self, model_size: str) -> Path:
        """The conditioning made by the model `model_size`."""
        return self.conditioning / prompt_file_name(model_size)


def prompt_file_name(model_size: str) -> str:
    """A safe file name for any key: readable, and told apart by a digest."""
    slug = re.sub(r"[^a-z0-9]+", "-", model_size.lower())[:40].strip("-")
    return f"{slug}-{hashlib.sha256(model_size.encode('utf-8')).hexdigest()[:16]}.safetensors"
