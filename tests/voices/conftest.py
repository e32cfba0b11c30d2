"""Clips and libraries in temporary folders."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from models import Samples
from tests.voices.helpers import AsAudio, FakeEncoder
from voices import VoiceLibrary
from voices.library import PRESETS


@pytest.fixture(scope="session")
def speech() -> Samples:
    """Three seconds of speech at 24 kHz that do not end in silence."""
    samples, rate = soundfile.read(PRESETS / "narrator_cloned" / "reference.flac", dtype="float32")
    assert rate == 24_000
    return np.asarray(samples[: 3 * rate], np.float32)


@pytest.fixture(scope="session")
def as_audio() -> AsAudio:
    """Samples at 24 kHz ([samples] or [samples, channels]) as the bytes of an audio file at another rate."""

    def encode(samples: Samples, rate: int = 24_000, form: str = "WAV", subtype: str | None = None) -> bytes:
        buffer = io.BytesIO()
        resampled = soxr.resample(samples, 24_000, rate) if rate != 24_000 else samples
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        with soundfile.SoundFile(buffer, "w", rate, channels, subtype, format=form) as file:
            for start in range(0, len(resampled), rate):  # libsndfile's Vorbis writer crashes on long pieces
                file.write(resampled[start : start + rate])
        return buffer.getvalue()

    return encode


@pytest.fixture(scope="session")
def clip(speech: Samples, as_audio: AsAudio) -> bytes:
    """A WAV that makes a good voice."""
    return as_audio(speech)


@pytest.fixture
def encode() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def library(tmp_path: Path) -> VoiceLibrary:
    return VoiceLibrary(tmp_path / "voices")
