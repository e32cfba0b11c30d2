"""What goes into an engine: frozen, checked when made, free of torch."""

import math
import uuid
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.errors import InvalidRequestError

Kind = Literal["base", "custom_voice", "voice_design"]
Samples = npt.NDArray[np.float32]  # [samples], mono, -1..1
Codes = npt.NDArray[np.int64]  # [frames, code_groups]

MAX_SEED = 2**64 - 1


class Priority(StrEnum):
    """Who goes first. First come, first served within each."""

    INTERACTIVE = "interactive"  # somebody waits for it
    BATCH = "batch"  # moves on only while nothing interactive does, and gives up its slot to what is


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise InvalidRequestError(name, f"{value} is outside {low} to {high}")


def _check_share(name: str, value: float) -> None:
    if not (math.isfinite(value) and 0.0 < value <= 1.0):
        raise InvalidRequestError(name, f"{value} is outside (0, 1]")


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How codes are drawn. A temperature of 0 takes the most likely code; top_k 0 and top_p 1 switch a filter off.

    The defaults are those of the published generation_config.json. `predictor_*` govern codes 1..15.
    """

    temperature: float = 0.9
    top_k: int = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.05
    predictor_temperature: float = 0.9
    predictor_top_k: int = 50
    predictor_top_p: float = 1.0

    def __post_init__(self) -> None:
        for name in ("temperature", "predictor_temperature"):
            _check_range(name, getattr(self, name), 0.0, 100.0)
        for name in ("top_k", "predictor_top_k"):
            _check_range(name, getattr(self, name), 0, 2**31 - 1)
        for name in ("top_p", "predictor_top_p"):
            _check_share(name, getattr(self, name))
        _check_range("repetition_penalty", self.repetition_penalty, 0.01, 100.0)


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a request says about how codes are drawn; see SamplingSettings. What is None is as the checkpoint says.

    Without a seed the engine draws one and reports it.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    predictor_temperature: float | None = None
    predictor_top_k: int | None = None
    predictor_top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        self.resolved(SamplingSettings())
        if self.seed is not None and not 0 <= self.seed <= MAX_SEED:
            raise InvalidRequestError("seed", f"{self.seed} is outside 0 to {MAX_SEED}")

    def resolved(self, defaults: SamplingSettings) -> SamplingSettings:
        """The settings to draw with where `defaults` are the checkpoint's."""
        said = {setting.name: getattr(self, setting.name) for setting in fields(defaults)}
        return replace(defaults, **{name: value for name, value in said.items() if value is not None})

    @classmethod
    def greedy(cls, repetition_penalty: float = 1.05) -> "Sampling":
        """The most likely code everywhere: no randomness, whatever the seed."""
        return cls(temperature=0.0, predictor_temperature=0.0, repetition_penalty=repetition_penalty)


@dataclass(frozen=True, slots=True, eq=False)
class VoicePrompt:
    """A cloned voice as a Base model hears it.

    With `reference_codes` and `reference_text` it is an ICL clone; with neither, an x-vector clone.
    """

    speaker_embedding: npt.NDArray[np.float32]  # [talker hidden size]
    reference_codes: Codes | None = None  # [frames, code_groups]
    reference_text: str | None = None

    def __post_init__(self) -> None:
        if self.speaker_embedding.ndim != 1 or not np.isfinite(self.speaker_embedding).all():
            raise InvalidRequestError("voice", "the speaker embedding must be a finite vector")
        if (self.reference_codes is None) != (self.reference_text is None):
            raise InvalidRequestError("voice", "reference codes and reference text come together or not at all")
        if self.reference_codes is not None and (self.reference_codes.ndim != 2 or len(self.reference_codes) == 0):
            raise InvalidRequestError("voice", "reference codes must be [frames, code groups] and not empty")

    @property
    def is_icl(self) -> bool:
        """Whether the clone continues its reference clip (in-context learning)."""
        return self.reference_codes is not None


@dataclass(frozen=True, slots=True, eq=False)
class SynthesisRequest:
    """One utterance to speak.

    Exactly one way of choosing the voice: `voice` (Base), `description` (VoiceDesign) or `speaker` (CustomVoice,
    where `description` may add a style). `text_at_once` None takes the checkpoint's default, and where it
    has none upstream's for the mode (its `non_streaming_mode`): trailing text for clones, all at once for the others.
    """

    text: str
    language: str = "auto"
    voice: VoicePrompt | None = None
    description: str | None = None
    speaker: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    max_frames: int | None = None  # None: the engine's limit
    text_at_once: bool | None = None
    timeout_s: float | None = None  # deadline from submission; None: none
    whole: bool = False  # deliver one chunk at the end, so that a runaway can still be drawn again
    priority: Priority = Priority.INTERACTIVE
    begun: bool = False  # goes on with a text whose beginning was spoken: first in its class, and never refused
    text_after: int = 0  # characters that follow in requests of their own, for those who ask how long it will take
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if not any(character.isprintable() and not character.isspace() for character in self.text):
            raise InvalidRequestError("text", "is empty: there is nothing to speak")
        if self.max_frames is not None and self.max_frames < 1:
            raise InvalidRequestError("max_frames", f"{self.max_frames} is below 1")
        if self.timeout_s is not None and not (math.isfinite(self.timeout_s) and self.timeout_s > 0):
            raise InvalidRequestError("timeout_s", f"{self.timeout_s} is not a positive number of seconds")
        if self.voice is not None and (self.speaker is not None or self.description is not None):
            raise InvalidRequestError("voice", "a cloned voice takes neither a speaker nor a description")
