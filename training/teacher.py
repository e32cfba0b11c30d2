"""The teacher: espeak-ng's American English in many timbres."""

import random
import subprocess
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr

from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

Samples = npt.NDArray[np.float32]
Role = Literal["main", "varied", "unseen"]  # much of it, a little of it, never trained on

_TEACHER_RATE = 22050
_HEADER = 44  # bytes of a WAV header
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
    return Teacher(variant, sex, generator.randint(10, 90), generator.randint(90, 200))


def speak(text: str, teacher: Teacher) -> Samples:
    """The text said, whole frames at 24 kHz, all equally loud. Needs the program espeak-ng."""
    voice = f"en-us+{teacher.variant}"
    command = ["espeak-ng", "-v", voice, "-p", str(teacher.pitch), "-s", str(teacher.speed), "--stdout", text]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout[_HEADER:]
    samples = np.frombuffer(spoken[: len(spoken) // 2 * 2], dtype="<i2").astype(np.float32) / 32768
    return whole_frames(trimmed(levelled(soxr.resample(samples, _TEACHER_RATE, SAMPLE_RATE).astype(np.float32))))


def levelled(samples: Samples) -> Samples:
    """Equally loud where something is said, without clipping."""
    largest = float(np.abs(samples).max(initial=1e-6))
    loud = samples[np.abs(samples) > _AUDIBLE * largest]
    gain = _LOUDNESS / float(np.sqrt(np.mean(loud**2))) if len(loud) else 1.0
    return samples * min(gain, _PEAK / largest)


def trimmed(samples: Samples) -> Samples:
    """With little silence before and after."""
    (audible,) = np.nonzero(np.abs(samples) > _AUDIBLE * np.abs(samples).max(initial=1e-6))
    if not len(audible):
        return samples
    return samples[max(0, audible[0] - int(_LEAD * SAMPLE_RATE)) : audible[-1] + int(_TAIL * SAMPLE_RATE)]


def whole_frames(samples: Samples) -> Samples:
    """Filled up with silence to a whole number of frames."""
    return np.pad(samples, (0, -len(samples) % SAMPLES_PER_FRAME))
