"""The recipe of the shipped voices: `python -m voices.make_presets [DIRECTORY]`; needs espeak-ng.

The clip is synthetic, so it can be shipped and nobody's voice is copied.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from voices.durable import LOCK_FILE, publish_directory, remove_directory
from voices.library import PRESETS
from voices.reference_audio import decode_flac, encode_flac, read_reference_audio
from voices.voice import Reference, Voice
from voices.voice_file import dump_voice
from voices.voice_folder import REFERENCE_FILE, VOICE_FILE

CREATED_AT = "2025-01-01T00:00:00Z"  # fixed: the recipe gives the same files every time
VARIANT, SPEED, PITCH = "m7", 110, 20  # of espeak-ng's: the voice that the embedded model says best
ESPEAK = ("espeak-ng", "-v", f"en-us+{VARIANT}", "-s", str(SPEED), "-p", str(PITCH), "-a", "67")
TRANSCRIPT = "The river runs quietly past the old stone bridge, and every morning the baker opens his door."
CLONED = "A plain American English narrator, spoken by espeak-ng."
DESIGNED = "A clear, professional narrator voice"


def speak(text: str) -> bytes:
    """`text` spoken by espeak-ng, as WAV."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "clip.wav"
        subprocess.run([*ESPEAK, "-w", str(path), text], check=True)
        return path.read_bytes()


def narrator_cloned() -> dict[str, bytes]:
    """The files of a cloned voice; its conditioning is made by the first model that speaks with it."""
    flac = encode_flac(read_reference_audio(speak(TRANSCRIPT)).samples)
    reference = Reference.of(flac, len(decode_flac(flac)), TRANSCRIPT)
    voice = Voice("narrator_cloned", "narrator_cloned", "cloned", CLONED, (), CREATED_AT, reference)
    return {VOICE_FILE: dump_voice(voice), REFERENCE_FILE: flac}


def narrator_designed() -> dict[str, bytes]:
    """The file of a designed voice."""
    voice = Voice("narrator_designed", "narrator_designed", "designed", DESIGNED, (), CREATED_AT)
    return {VOICE_FILE: dump_voice(voice)}


def make_presets(directory: Path) -> None:
    """Write the shipped voices into `directory`, in the place of those that are there."""
    directory.mkdir(parents=True, exist_ok=True)
    for identity, files in (("narrator_cloned", narrator_cloned()), ("narrator_designed", narrator_designed())):
        target = directory / identity
        if target.exists():
            remove_directory(target)
        publish_directory(files, target)
    (directory / LOCK_FILE).unlink(missing_ok=True)  # the package is nobody's library


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m voices.make_presets", description="Make the shipped voices.")
    parser.add_argument("directory", nargs="?", type=Path, default=PRESETS)
    make_presets(parser.parse_args(arguments).directory)


if __name__ == "__main__":
    main()
