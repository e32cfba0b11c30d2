"""Samples to the bytes of a container format, piece by piece."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Protocol, cast

import numpy as np
import soundfile

from deployments.web.schemas import AudioFormat
from models import Samples

MEDIA_TYPES: dict[AudioFormat, str] = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "flac": "audio/flac",
}
UNKNOWN_SIZE = 0xFFFFFFFF
MP3_COMPRESSION = 0.6  # libsndfile's scale from 0 (160 kbit/s) to 1 (8 kbit/s): 64 kbit/s at 24 kHz
_SOUNDFILE: dict[AudioFormat, dict[str, Any]] = {
    "mp3": {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": MP3_COMPRESSION,
    },
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def to_int16(samples: Samples) -> bytes:
    """Signed 16-bit little-endian; what is louder than full scale is clipped, never wrapped around."""
    scaled = np.rint(np.asarray(samples, dtype=np.float32) * np.float32(32767.0))
    return np.clip(scaled, -32768, 32767).astype("<i2").tobytes()


def wav_header(sample_rate: int, data_bytes: int | None) -> bytes:
    """44 bytes of mono 16-bit WAV header; None where the size cannot be known yet."""
    riff_size, data_size = (UNKNOWN_SIZE, UNKNOWN_SIZE) if data_bytes is None else (data_bytes + 36, data_bytes)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", riff_size, b"WAVE",
        b"fmt ", 16, 1, 1, sample_rate, sample_rate * 2, 2, 16,
        b"data", data_size,
    )  # fmt: skip


Correction = tuple[int, bytes]  # a position in a file, and the bytes that belong there


class AudioEncoder(Protocol):
    """One stream of audio being encoded."""

    takes_long: ClassVar[bool]  # milliseconds for a piece, in which a thread lets others run

    def encode(self, samples: Samples) -> bytes:
        """The bytes that are ready after these samples; may be empty."""
        ...

    def finish(self) -> bytes:
        """The bytes that were held back."""
        ...

    def corrections(self) -> Sequence[Correction]:
        """What a finished file needs to have true headers: a stream has sent them before it knew its length."""
        ...


class PcmEncoder:
    """Samples and nothing else."""

    takes_long: ClassVar[bool] = False

    def encode(self, samples: Samples) -> bytes:
        return to_int16(samples)

    def finish(self) -> bytes:
        return b""

    def corrections(self) -> Sequence[Correction]:
        return ()


@dataclass(slots=True)
class WavEncoder:
    """A header of unknown size, then samples."""

    takes_long: ClassVar[bool] = False
    sample_rate: int
    _begun: bool = False
    _data_bytes: int = 0

    def encode(self, samples: Samples) -> bytes:
        header = b"" if self._begun else wav_header(self.sample_rate, None)
        data = to_int16(samples)
        self._begun = True
        self._data_bytes += len(data)
        return header + data

    def finish(self) -> bytes:
        return b"" if self._begun else wav_header(self.sample_rate, None)

    def corrections(self) -> Sequence[Correction]:
        return [(0, wav_header(self.sample_rate, self._data_bytes))]


class SoundfileEncoder:
    """MP3, FLAC and Opus through libsndfile."""

    takes_long: ClassVar[bool] = True

    def __init__(self, audio_format: AudioFormat, sample_rate: int) -> None:
        self._tape = _Tape()
        tape = cast(BinaryIO, self._tape)  # of which soundfile calls write, seek and tell
        self._file = soundfile.SoundFile(tape, "w", sample_rate, channels=1, **_SOUNDFILE[audio_format])

    def encode(self, samples: Samples) -> bytes:
        self._file.write(np.clip(samples, -1.0, 1.0))
        return self._tape.take()

    def finish(self) -> bytes:
        self._file.close()
        return self._tape.take()

    def corrections(self) -> Sequence[Correction]:
        return self._tape.corrections


class _Tape:
    """What libsndfile takes for a file. Nothing is kept of it but what was written since the last `take`."""

    def __init__(self) -> None:
        self.corrections: list[Correction] = []  # what was written where the bytes had been taken already
        self._fresh = bytearray()
        self._taken = 0
        self._position = 0

    def write(self, data: bytes) -> int:
        late = min(len(data), max(0, self._taken - self._position))
        if late:
            self.corrections.append((self._position, data[:late]))
        start = self._position + late - self._taken
        self._fresh[start : start + len(data) - late] = data[late:]
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._taken + len(self._fresh)}
        self._position = origin[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """What has been written since the last time."""
        fresh = bytes(self._fresh)
        self._taken += len(fresh)
        self._fresh.clear()
        return fresh


def make_encoder(audio_format: AudioFormat, sample_rate: int) -> AudioEncoder:
    """An encoder for a stream whose length is not known."""
    match audio_format:
        case "pcm":
            return PcmEncoder()
        case "wav":
            return WavEncoder(sample_rate)
        case _:
            return SoundfileEncoder(audio_format, sample_rate)
