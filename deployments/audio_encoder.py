"""Samples to the bytes of a container format, piece by piece or whole."""

import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soundfile

from deployments.schemas import AudioFormat
from models.types import Samples

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


class AudioEncoder(Protocol):
    """One stream of audio being encoded."""

    def encode(self, samples: Samples) -> bytes:
        """The bytes that are ready after these samples; may be empty."""
        ...

    def finish(self) -> bytes:
        """The bytes that were held back."""
        ...


class PcmEncoder:
    """Samples and nothing else."""

    def encode(self, samples: Samples) -> bytes:
        return to_int16(samples)

    def finish(self) -> bytes:
        return b""


@dataclass(slots=True)
class WavEncoder:
    """A header of unknown size, then samples."""

    sample_rate: int
    _begun: bool = False

    def encode(self, samples: Samples) -> bytes:
        header = b"" if self._begun else wav_header(self.sample_rate, None)
        self._begun = True
        return header + to_int16(samples)

    def finish(self) -> bytes:
        return b"" if self._begun else wav_header(self.sample_rate, None)


class SoundfileEncoder:
    """MP3, FLAC and Opus through libsndfile, which writes into a buffer that is emptied as it fills."""

    def __init__(self, audio_format: AudioFormat, sample_rate: int) -> None:
        self._buffer = io.BytesIO()
        self._taken = 0
        self._file = soundfile.SoundFile(self._buffer, "w", sample_rate, channels=1, **_SOUNDFILE[audio_format])

    def encode(self, samples: Samples) -> bytes:
        self._file.write(np.clip(samples, -1.0, 1.0))
        return self._take()

    def finish(self) -> bytes:
        self._file.close()
        return self._take()

    def contents(self) -> bytes:
        """Everything, with the headers that were completed at the end."""
        return self._buffer.getvalue()

    def _take(self) -> bytes:
        """What has been appended since the last time. Headers rewritten at the end were sent already, as unknown."""
        with self._buffer.getbuffer() as written:
            fresh = bytes(written[self._taken :])
        self._taken += len(fresh)
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


def encode_whole(audio_format: AudioFormat, sample_rate: int, pieces: Iterable[Samples]) -> bytes:
    """A complete file, its headers true."""
    if audio_format in ("pcm", "wav"):
        data = b"".join(to_int16(piece) for piece in pieces)
        return data if audio_format == "pcm" else wav_header(sample_rate, len(data)) + data
    encoder = SoundfileEncoder(audio_format, sample_rate)
    for piece in pieces:
        encoder.encode(piece)
    encoder.finish()
    return encoder.contents()
