"""What the tests have spoken, and what they hear."""

import io
import wave
from typing import Any

import numpy as np

SYNTHESIZE = "/api/v1/tts/synthesize"
DESIGN = "/api/v1/tts/design"
CLONE = "/api/v1/tts/clone"
SPEECH = "/v1/audio/speech"
SPOKEN: dict[str, Any] = {"text": "Hello, this is a test.", "voice": "narrator_cloned", "seed": 1}
DESIGNED: dict[str, Any] = {"text": "Hello, this is a test.", "description": "A calm old sailor", "seed": 1}


def long_text(sentences: int) -> str:
    """About two seconds of speech for each."""
    return "A long text, a very long text. " * sentences


def samples_of(content: bytes) -> np.ndarray:
    """The samples of a valid 24 kHz mono WAV; audible and finite."""
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(samples) >= 1920
    assert np.abs(samples.astype(np.int32)).max() > 1000
    return samples
