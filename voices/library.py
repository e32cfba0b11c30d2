"""The voices of one installation: those shipped with the package and those people made."""

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from models import VoicePrompt
from voices.durable import publish_directory, remove_directory, sweep
from voices.errors import (
    VoiceBrokenError,
    VoiceExistsError,
    VoiceNameError,
    VoiceNotFoundError,
    VoiceReadOnlyError,
    VoiceStorageError,
    VoiceVersionError,
)
from voices.name import MAX_NAME_CHARACTERS, parse_name, voice_id
from voices.new_clone import NewClone, Recording
from voices.reference_audio import SAMPLE_RATE, read_reference_audio
from voices.text import parse_description, parse_languages
from voices.voice import Encode, Voice
from voices.voice_file import dump_voice, load_voice, now
from voices.voice_folder import CONDITIONING_FOLDER, REFERENCE_FILE, VOICE_FILE, VoiceFolder, prompt_file_name

PRESETS = Path(__file__).parent / "presets"
PRESET_CONDITIONING_FOLDER = ".presets"


@dataclass(frozen=True, slots=True)
class BrokenVoice:
    """A folder in the library that holds no usable voice. Only `VoiceLibrary.delete` works on it."""

    id: str
    reason: str


class Listing(NamedTuple):
    """All there is at one moment: each voice is in one of both."""

    voices: tuple[Voice, ...]  # the shipped ones first, then the users' in the order of their ids
    broken: tuple[BrokenVoice, ...]


class VoiceLibrary:
    """Voices by name or id. Safe for several threads and several processes at once: the file system arbitrates.

    A user's voice goes before a shipped one of the same id, which a later version of the package may bring.
    """

    def __init__(self, directory: str | Path) -> None:
        """Keep users' voices in `directory`, which is made when missing. Raises VoiceStorageError."""
        self._directory = Path(directory)
        with _storage_errors("the voice library cannot be opened"):
            self._directory.mkdir(0o700, parents=True, exist_ok=True)  # people's voices are nobody else's business
            sweep(self._directory)
            self._presets = {
                path.name: load_voice(self._preset_folder(path), preset=True) for path in _folders(PRESETS)
            }

    def get(self, name_or_id: str) -> Voice:
        """The voice of this name or id, whatever its case. Raises VoiceNotFoundError or VoiceBrokenError."""
        identity = _lookup_id(name_or_id)
        try:
            return _load(self._folder(identity))
        except FileNotFoundError:
            if identity in self._presets:
                return self._presets[identity]
            raise _not_found(name_or_id) from None
        except VoiceVersionError as error:
            raise VoiceVersionError(f"the voice {identity!r} cannot be read: {error}") from error
        except VoiceBrokenError as error:
            raise VoiceBrokenError(f"the voice {identity!r} is damaged: {error}") from error

    def create_cloned(
        self,
        name: str,
        audio_bytes: bytes,
        text: str | None,
        encode: Encode,
        model_size: str,
        description: str = "",
        languages: Iterable[str] = (),
        audio_field: str = "reference_audio",
    ) -> Voice:
        """A voice from a clip of 1 to 30 s, with its conditioning for the model `model_size`, made by `encode`.

        Without a transcript (`text` None or blank) the voice is an x-vector clone, see `Voice.mode`. Raises
        VoiceNameError, VoiceExistsError, ReferenceAudioError (naming `audio_field`), InvalidRequestError,
        VoiceStorageError and whatever `encode` raises; then nothing has changed on disk.
        """
        new = self.new_clone(name, text, description, languages)
        recording = new.recorded(read_reference_audio(audio_bytes, audio_field))
        return self.add(recording, model_size, encode(recording.samples, SAMPLE_RATE, new.text))

    def new_clone(self, name: str, text: str | None, description: str = "", languages: Iterable[str] = ()) -> NewClone:
        """What can be said of a voice to be before its clip is looked at. Raises as `create_cloned`."""
        new = NewClone.parse(name, text, description, languages)
        self._check_free(new.name)
        return new

    def add(self, recording: Recording, model_size: str, prompt: VoicePrompt) -> Voice:
        """Keep a new voice, with what the model `model_size` made of its clip.

        Raises VoiceExistsError and VoiceStorageError.
        """
        prompt_file = f"{CONDITIONING_FOLDER}/{prompt_file_name(model_size)}"
        conditioning = recording.voice.dump_prompt(model_size, prompt)
        files = {VOICE_FILE: dump_voice(recording.voice), REFERENCE_FILE: recording.flac, prompt_file: conditioning}
        return self._publish(recording.voice, files)

    def create_designed(self, name: str, description: str, languages: Iterable[str] = ()) -> Voice:
        """A voice that is its description, spoken by a VoiceDesign model.

        Raises VoiceNameError, VoiceExistsError, InvalidRequestError and VoiceStorageError.
        """
        parsed_name = parse_name(name)
        self._check_free(parsed_name)
        described = parse_description(description, required=True)
        spoken = parse_languages(languages)
        voice = Voice(voice_id(parsed_name), parsed_name, "designed", described, spoken, now())
        return self._publish(voice, {VOICE_FILE: dump_voice(voice)})

    def delete(self, name_or_id: str) -> str:
        """Remove a voice, also a broken one; returns its id.

        Raises VoiceNotFoundError, VoiceReadOnlyError for a shipped voice, and VoiceStorageError.
        """
        identity = _lookup_id(name_or_id)
        path = self._directory / identity
        if not _is_folder(path):
            if identity in self._presets:
                raise VoiceReadOnlyError(f"the voice {identity!r} is shipped with the program and cannot be deleted")
            raise _not_found(name_or_id)
        with _storage_errors(f"the voice {identity!r} could not be deleted"):
            try:
                remove_directory(path)
            except FileNotFoundError:  # another process was faster
                raise _not_found(name_or_id) from None
        return identity

    def listing(self) -> Listing:
        """Every usable voice, and the folders that hold none: these are in nobody's way."""
        voices: dict[str, Voice] = {}
        broken: dict[str, str] = {}
        with _storage_errors("the voice library cannot be read"):
            paths = _folders(self._directory)
        for path in paths:
            try:
                voices[path.name] = _load(self._folder(path.name))
            except FileNotFoundError:  # deleted meanwhile
                continue
            except VoiceBrokenError as error:
                broken[path.name] = str(error)
        shipped = [voice for name, voice in self._presets.items() if name not in voices and name not in broken]
        return Listing((*shipped, *voices.values()), tuple(BrokenVoice(*item) for item in broken.items()))

    def broken(self) -> tuple[BrokenVoice, ...]:
        """Folders that hold no usable voice, with the reason."""
        return self.listing().broken

    def _check_free(self, name: str) -> None:
        """Raises VoiceExistsError: asked before anything costly is done."""
        identity = voice_id(name)
        if identity in self._presets or os.path.lexists(self._directory / identity):
            raise _exists(name)

    def _publish(self, voice: Voice, files: Mapping[str, bytes]) -> Voice:
        """Write a new voice, in one piece. Of several processes that try at once, one gets through."""
        with _storage_errors(f"the voice {voice.name!r} could not be written"):
            sweep(self._directory)
            try:
                publish_directory(files, self._directory / voice.id)
            except FileExistsError:
                raise _exists(voice.name) from None
        return replace(voice, folder=self._folder(voice.id))

    def _folder(self, identity: str) -> VoiceFolder:
        path = self._directory / identity
        return VoiceFolder(path, path / CONDITIONING_FOLDER, self._directory)

    def _preset_folder(self, path: Path) -> VoiceFolder:
        return VoiceFolder(path, self._directory / PRESET_CONDITIONING_FOLDER / path.name, self._directory)

    # Last in the class: after it, `list` would mean this method in the annotations above.
    def list(self) -> list[Voice]:
        """Every usable voice: the shipped ones, then the users' in the order of their ids."""
        return [*self.listing().voices]


def _lookup_id(name_or_id: str) -> str:
    """The only way from a request to a path. Raises VoiceNotFoundError for what cannot be a name."""
    try:
        return voice_id(parse_name(name_or_id))
    except VoiceNameError:
        raise _not_found(name_or_id) from None


def _load(folder: VoiceFolder) -> Voice:
    """The voice in `folder`, though others delete it and make it anew. Raises FileNotFoundError, VoiceBrokenError."""
    while True:
        descriptor = _open_folder(folder.path)  # held, so that its inode is not used again
        try:
            return load_voice(folder)
        except VoiceBrokenError:
            if _is_folder(folder.path) and os.path.samestat(os.fstat(descriptor), os.stat(folder.path)):
                raise
        finally:
            os.close(descriptor)


def _open_folder(path: Path) -> int:
    if not _is_folder(path):
        raise FileNotFoundError(path)
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise VoiceBrokenError(f"its folder cannot be read: {error.strerror}") from error


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _folders(directory: Path) -> list[Path]:
    """The folders in `directory` that may be voices, in the order of their names."""
    return sorted(path for path in directory.iterdir() if not path.name.startswith(".") and _is_folder(path))


def _not_found(name: str) -> VoiceNotFoundError:
    return VoiceNotFoundError(f"there is no voice {name[:MAX_NAME_CHARACTERS]!r}")


def _exists(name: str) -> VoiceExistsError:
    return VoiceExistsError(f"there is a voice {name!r} already; names differ by more than case")


@contextmanager
def _storage_errors(what: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise VoiceStorageError(f"{what}: {error.strerror or error}") from error
