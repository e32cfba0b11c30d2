"""The teacher: espeak-ng's American English in many timbres."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr

from training.espeak import Sound, espeak
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

Samples = npt.NDArray[np.float32]
Role = Literal["main", "varied", "unseen"]  # much of it, a little of it, never trained on
Level = Literal["low", "middle", "high"]

SPEEDS: Mapping[Level, tuple[int, int]] = {"low": (95, 115), "middle": (130, 150), "high": (175, 195)}  # words a minute
_LOUDNESS = 0.08  # root mean square where something is said
_PEAK = 0.9
_LEAD, _TAIL = 0.04, 0.12  # seconds of silence kept around the speech
_AUDIBLE = 0.01  # of the largest sample

_MEN = {
    "main": ("m3", "m7"),
    "varied": ("Alex", "Andy", "Gene", "Lee", "Mike", "adam", "ed", "edward", "m1", "m2", "m4", "m6", "m8", "max"),
    "unseen": ("Nguyen", "boris", "david", "m5", "pablo", "quincy"),
}
_WOMEN = {
    "main": ("f2", "belinda"),
    "varied": ("Alicia", "Annie", "aunty", "f1", "f3", "f4", "grandma", "linda", "steph"),
    "unseen": ("Andrea", "anika", "f5", "shelby"),
}


@dataclass(frozen=True, slots=True)
class Teacher:
    """One way of speaking."""

    variant: str
    sex: Literal["male", "female"]
    pitch: int  # espeak-ng's, 0 to 99
    speed: int  # words a minute, asked for


def random_teacher(role: Role, generator: random.Random) -> Teacher:
    """One of a role's voices with some pitch and speed."""
    sex = generator.choice(("male", "female"))
    variant = generator.choice((_MEN if sex == "male" else _WOMEN)[role])
    return Teacher(variant, sex, generator.randint(5, 95), generator.randint(*generator.choice(list(SPEEDS.values()))))


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text said."""

    samples: Samples  # whole frames at 24 kHz
    sounds: list[Sound]  # seconds counting from the first of these samples
    end: float  # second at which the last sound has been said


def say(text: str, teacher: Teacher) -> Spoken:
    """All texts equally loud. Needs the library espeak-ng."""
    said = espeak().say(text, f"en-us+{teacher.variant}", teacher.pitch, teacher.speed)
    samples = (said.samples / 32768).astype(np.float32)
    samples = levelled(soxr.resample(samples, said.sample_rate, SAMPLE_RATE).astype(np.float32))
    first, last = audible(samples)
    start = max(0, first - int(_LEAD * SAMPLE_RATE))
    sounds = [one._replace(second=max(0.0, one.second - start / SAMPLE_RATE)) for one in said.sounds]
    samples = whole_frames(samples[start : last + int(_TAIL * SAMPLE_RATE)])
    return Spoken(samples, sounds, (last - start) / SAMPLE_RATE)


def speak(text: str, teacher: Teacher) -> Samples:
    """The samples alone."""
    return say(text, teacher).samples


def levelled(samples: Samples) -> Samples:
    """Equally loud where something is said, without clipping."""
    largest = float(np.abs(samples).max(initial=1e-6))
    loud = samples[np.abs(samples) > _AUDIBLE * largest]
    gain = _LOUDNESS / float(np.sqrt(np.mean(loud**2))) if len(loud) else 1.0
    return samples * min(gain, _PEAK / largest)


def audible(samples: Samples) -> tuple[int, int]:
    """The first and the last sample that can be heard."""
    (heard,) = np.nonzero(np.abs(samples) > _AUDIBLE * np.abs(samples).max(initial=1e-6))
    return (int(heard[0]), int(heard[-1])) if len(heard) else (0, len(samples))


def whole_frames(samples: Samples) -> Samples:
    """Filled up with silence to a whole number of frames."""
    return np.pad(samples, (0, -len(samples) % SAMPLES_PER_FRAME))
