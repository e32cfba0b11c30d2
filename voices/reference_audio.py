"""Reference clips: bytes of any audio format to samples a voice can be made of, and their form on disk."""

# pyright: reportMissingTypeStubs=false

import io
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from models import Samples
from models.reference_clip import SILENCE_LEVEL, end_in_silence, window_levels
from voices.errors import ReferenceAudioError
from voices.wav_header import wav_header_lie

SAMPLE_RATE = 24_000
MIN_SECONDS = 1.0
MAX_SECONDS = 30.0
MIN_SOURCE_RATE = 4_000
MAX_SOURCE_RATE = 384_000
MAX_SOURCE_CHANNELS = 32
FULL_SCALE = 0.999
MAX_CLIPPED_SHARE = 0.005  # speech driven 3 dB over full scale reaches 0.002, 6 dB over 0.01
BLOCK_VALUES = 1 << 20  # frames times channels decoded at once, whatever the header declares
DECLARED_SLACK_SECONDS = 0.1


class ReferenceAudio(NamedTuple):
    """A clip fit to make a voice of: float32 [samples], mono, -1..1, ending in half a second of silence."""

    samples: Samples
    sample_rate: int  # always 24,000


class _Bytes(io.BytesIO):
    """Damaged files make libsndfile seek before their start; soundfile would print a traceback for each such seek."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(max(0, offset) if whence == io.SEEK_SET else offset, whence)


class _Stream(soundfile.SoundFile):
    """Read from start to end only: soundfile seeks after each read, which fails for FLAC that was written to a pipe."""

    def seekable(self) -> bool:
        return False


def read_reference_audio(audio_bytes: bytes, field: str = "reference_audio") -> ReferenceAudio:
    """Decode, check, mix down and resample a clip of 1 to 30 s in any format soundfile reads.

    Memory stays bounded whatever a header declares. Raises ReferenceAudioError, which names `field`.
    """
    try:
        if lie := wav_header_lie(audio_bytes):
            raise _RefusalError(f"undecodable: {lie}")
        mono, rate = _decode(audio_bytes)
        _check_duration(len(mono), rate)
        samples = _resample(mono, rate)
        _check_audible(samples)
    except _RefusalError as refusal:
        raise ReferenceAudioError(field, str(refusal)) from refusal
    return ReferenceAudio(end_in_silence(samples, SAMPLE_RATE), SAMPLE_RATE)


class _RefusalError(ValueError):
    """Why a clip will not do; becomes a ReferenceAudioError where the field's name is known."""


def _decode(audio_bytes: bytes) -> tuple[Samples, int]:
    """Mono samples at the clip's own rate, cut just after the longest allowed duration."""
    try:
        with _Stream(_Bytes(audio_bytes)) as stream:
            _check_layout(stream.channels, stream.samplerate)
            mono = _mix_down(stream)
            _check_complete(stream, len(mono))
            return mono, stream.samplerate
    except soundfile.LibsndfileError as error:
        raise _RefusalError(f"undecodable: {error.error_string}") from error
    except soundfile.SoundFileError as error:
        raise _RefusalError(f"undecodable: {error}") from error


def _check_layout(channels: int, rate: int) -> None:
    if not MIN_SOURCE_RATE <= rate <= MAX_SOURCE_RATE:
        raise _RefusalError(
            f"undecodable: {rate} samples a second, {MIN_SOURCE_RATE} to {MAX_SOURCE_RATE} are supported"
        )
    if channels > MAX_SOURCE_CHANNELS:
        raise _RefusalError(f"undecodable: {channels} channels, at most {MAX_SOURCE_CHANNELS} are supported")


def _mix_down(stream: _Stream) -> Samples:
    """All channels averaged, block by block. Raises _RefusalError for clipped and for non-finite samples."""
    limit = int(MAX_SECONDS * stream.samplerate) + 1
    blocks: list[Samples] = []
    frames = clipped = 0
    while frames < limit:
        wanted = min(limit - frames, BLOCK_VALUES // stream.channels)
        block = np.asarray(stream.read(wanted, "float32", always_2d=True), np.float32)  # [frames, channels]
        if len(block) == 0:
            break
        if not np.isfinite(block).all():
            raise _RefusalError("undecodable: it has samples that are not finite numbers")
        clipped += int(np.count_nonzero(np.abs(block) >= FULL_SCALE))
        blocks.append(block.mean(axis=1, dtype=np.float32))
        frames += len(block)
    share = clipped / max(1, frames * stream.channels)
    if share > MAX_CLIPPED_SHARE:
        raise _RefusalError(f"clipped: {share:.1%} of its samples are at or beyond full scale")
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _check_complete(stream: _Stream, frames: int) -> None:
    """A header that declares more than was there is a damaged file. MP3 headers do not: libsndfile guesses."""
    limit = int(MAX_SECONDS * stream.samplerate) + 1
    unknown = stream.format == "MP3" or stream.frames >= 2**62
    if not unknown and frames < min(limit, stream.frames - DECLARED_SLACK_SECONDS * stream.samplerate):
        raise _RefusalError(f"undecodable: its header declares {stream.frames} frames, {frames} are there")


def _check_duration(frames: int, rate: int) -> None:
    wanted = f"a reference clip has {MIN_SECONDS:g} to {MAX_SECONDS:g} s"
    if frames < MIN_SECONDS * rate:
        raise _RefusalError(f"too short: {frames / rate:.2f} s, {wanted}")
    if frames > MAX_SECONDS * rate:
        raise _RefusalError(f"too long: more than {MAX_SECONDS:g} s, {wanted}")


def _resample(mono: Samples, rate: int) -> Samples:
    """At 24 kHz; the overshoot of a nearly full-scale clip is scaled back, not cut."""
    samples = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return (samples / max(1.0, float(np.abs(samples).max()))).astype(np.float32)


def _check_audible(samples: Samples) -> None:
    loudest = float(window_levels(samples, SAMPLE_RATE).max())
    if loudest < SILENCE_LEVEL:
        raise _RefusalError(
            f"silent: its loudest 20 ms are {20 * np.log10(max(loudest, 1e-10)):.0f} dB below full scale"
        )


def encode_flac(samples: Samples) -> bytes:
    """A checked clip as 24 kHz mono 16-bit FLAC."""
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> Samples:
    """What `encode_flac` wrote: float32 [samples]; exact, since the 16 bits fit."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return np.asarray(samples, np.float32)
