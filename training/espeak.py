"""espeak-ng as a library, which tells when it says each sound of each word; the program does not.

The C interface is that of speak_lib.h, version 1.51. One process speaks one sentence at a time.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_LIBRARY = "libespeak-ng.so.1"
_RETRIEVAL = 1  # audio goes to the callback, in the calling thread
_PHONEMES = 1  # they are events too
_UTF8 = 1
_RATE, _PITCH = 1, 3  # parameters
_END, _PHONEME = 0, 7  # types of events


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("phoneme", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Sound(NamedTuple):
    """One phoneme."""

    place: int  # in the text where its word starts
    second: float  # when it starts
    phoneme: str  # in espeak-ng's own letters; pauses begin with _


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence as espeak-ng said it."""

    samples: npt.NDArray[np.int16]
    sample_rate: int
    sounds: list[Sound]


class Espeak:
    """The library, set up. Raises OSError where it is not installed."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(_LIBRARY)
        self._sample_rate: int = self._library.espeak_Initialize(_RETRIEVAL, 0, None, _PHONEMES)
        self._pieces: list[npt.NDArray[np.int16]] = []
        self._sounds: list[Sound] = []
        self._callback = _Callback(self._hear)  # kept: the library has only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, pitch: int, speed: int) -> Said:
        """`voice` as the program's -v, `pitch` 0 to 99, `speed` in words a minute."""
        self._pieces, self._sounds = [], []
        self._library.espeak_SetVoiceByName(voice.encode())
        self._library.espeak_SetParameter(_RATE, speed, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.int16)
        return Said(samples, self._sample_rate, self._sounds)

    def _hear(self, samples: Any, count: int, events: Any) -> int:
        if count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        number = 0
        while events[number].type != _END:
            event = events[number]
            if event.type == _PHONEME and event.text_position > 0:  # some pauses are nowhere
                second = event.sample / self._sample_rate
                self._sounds.append(Sound(event.text_position - 1, second, event.phoneme.decode(errors="replace")))
            number += 1
        return 0


@cache
def espeak() -> Espeak:
    """The one of this process."""
    return Espeak()
