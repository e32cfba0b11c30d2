"""A voice: who speaks, and what a model needs to speak so."""

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from models import Samples, VoicePrompt
from models.errors import InvalidRequestError
from voices import conditioning
from voices.durable import replace_file
from voices.errors import VoiceBrokenError, VoiceNotFoundError
from voices.name import parse_name, voice_id
from voices.reference_audio import SAMPLE_RATE, ReferenceAudio, decode_flac
from voices.transcript import transcript_warning
from voices.voice_folder import VoiceFolder

VoiceKind = Literal["cloned", "designed", "builtin"]
CloneMode = Literal["icl", "x_vector"]
Encode = Callable[[Samples, int, str | None], VoicePrompt]  # samples, sample rate, transcript

_log = logging.getLogger(__name__)
MAX_CONDITIONINGS = 4  # of one voice, by as many models: those of weights that were replaced are of no use

_encoding = WeakValueDictionary[tuple[str, str], "_EncodingLock"]()  # those in use, by model and clip
_encoding_guard = threading.Lock()


class _EncodingLock:
    """Nobody encodes one clip for one model twice; other clips need not wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def _encoding_lock(model_size: str, fingerprint: str) -> _EncodingLock:
    with _encoding_guard:
        return _encoding.setdefault((model_size, fingerprint), _EncodingLock())


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Reference:
    """The clip a cloned voice was made from."""

    sha256: str  # of the file
    seconds: float
    text: str | None  # its transcript

    @classmethod
    def of(cls, flac: bytes, samples: int, text: str | None) -> "Reference":
        """Describe a clip of `samples` samples, about to be written as `flac`."""
        return cls(hashlib.sha256(flac).hexdigest(), round(samples / SAMPLE_RATE, 3), text)

    @property
    def fingerprint(self) -> str:
        """Changes with the clip and with its transcript: conditioning made from other ones is not used."""
        return hashlib.sha256(f"{self.sha256}\n{self.text or ''}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice, as the library lists it."""

    id: str
    name: str
    kind: VoiceKind
    description: str
    languages: tuple[str, ...]  # those it is meant for; empty: any
    created_at: str | None = None  # ISO 8601, UTC; None for built-in speakers
    reference: Reference | None = None  # cloned voices
    speaker: str | None = None  # built-in speakers: the model's name for them
    preset: bool = False  # shipped with the package: cannot be deleted
    folder: VoiceFolder | None = field(default=None, repr=False, compare=False)

    @classmethod
    def builtin(cls, speaker: str, languages: tuple[str, ...] = (), description: str = "") -> "Voice":
        """A speaker that a CustomVoice model knows by itself; nothing of it is on disk."""
        name = parse_name(speaker, "speaker")
        return cls(voice_id(name), name, "builtin", description, languages, speaker=speaker)

    @property
    def mode(self) -> CloneMode | None:
        """How a cloned voice is spoken by models that clone in context: without a transcript only its speaker embedding
        can be used."""
        if self.reference is None:
            return None
        return "icl" if self.reference.text is not None else "x_vector"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its maker should hear of a voice that may not come out well."""
        if self.reference is None or self.reference.text is None:
            return ()
        warning = transcript_warning(self.reference.text, self.reference.seconds)
        return () if warning is None else (warning,)

    def prompt(self, model_size: str, encode: Encode) -> VoicePrompt:
        """What the model `model_size` needs to speak with this cloned voice; made with `encode` when not yet stored.

        `model_size` is any string that is the same for the same weights and only for them. Raises InvalidRequestError
        for a voice that was not cloned, VoiceBrokenError or VoiceNotFoundError when its clip cannot be read, and
        whatever `encode` raises.
        """
        stored = self.stored_prompt(model_size)
        if stored is not None:
            return stored
        turn = _encoding_lock(model_size, self._reference().fingerprint)
        with turn.lock:
            stored = self.stored_prompt(model_size)  # while this thread waited, another may have made it
            if stored is not None:
                return stored
            samples, rate = self.reference_audio()
            prompt = encode(samples, rate, self._reference().text)
            self.store_prompt(model_size, prompt)
            return prompt

    def stored_prompt(self, model_size: str) -> VoicePrompt | None:
        """The prompt made earlier for `model_size`, if any. Raises InvalidRequestError for a voice not cloned."""
        return conditioning.load_prompt(
            self._files().prompt_file(model_size), model_size, self._reference().fingerprint
        )

    def store_prompt(self, model_size: str, prompt: VoicePrompt) -> None:
        """Keep a prompt for later. A disk that refuses costs only the time to make it again: it is logged."""
        data = self.dump_prompt(model_size, prompt)
        files = self._files()
        try:
            # A user's voice that was deleted meanwhile must not come back; the folder of a preset's prompts must come.
            files.conditioning.mkdir(parents=self.preset, exist_ok=True)
            self._collect(kept=files.prompt_file(model_size))
            replace_file(files.prompt_file(model_size), data, files.staging)
        except OSError as error:
            _log.warning("the conditioning of voice %s could not be stored: %s", self.id, error)

    def _collect(self, kept: Path) -> None:
        """Make room for a prompt: drop those that nobody can use any more, and the oldest of too many."""
        source = self._reference().fingerprint
        others = [path for path in self._files().conditioning.iterdir() if path != kept]
        stale = [path for path in others if conditioning.is_stale(path, source)]
        fresh = sorted((path for path in others if path not in stale), key=_written_at)
        for path in (*stale, *fresh[: max(0, len(fresh) + 1 - MAX_CONDITIONINGS)]):
            path.unlink(missing_ok=True)

    def dump_prompt(self, model_size: str, prompt: VoicePrompt) -> bytes:
        """The file that keeps `prompt`, which `model_size` made from this voice's clip and transcript."""
        reference = self._reference()
        assert reference.text is not None or not prompt.is_icl, "the prompt was not made from this voice"
        return conditioning.dump_prompt(prompt, model_size, reference.fingerprint)

    def reference_audio(self) -> ReferenceAudio:
        """The clip. Raises as `prompt` does."""
        reference = self._reference()
        try:
            data = self._files().reference_file.read_bytes()
        except FileNotFoundError:
            raise VoiceNotFoundError(f"the voice {self.name!r} has been deleted") from None
        except OSError as error:
            raise VoiceBrokenError(f"the voice {self.name!r} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != reference.sha256:
            raise VoiceBrokenError(
                f"the voice {self.name!r} is damaged: its reference audio is not what it was made from"
            )
        return ReferenceAudio(decode_flac(data), SAMPLE_RATE)

    def _reference(self) -> Reference:
        if self.reference is None:
            raise InvalidRequestError("voice", f"{self.name!r} is a {self.kind} voice and has no reference audio")
        return self.reference

    def _files(self) -> VoiceFolder:
        self._reference()
        assert self.folder is not None, "a cloned voice has a folder"
        return self.folder
