"""A stand-in for a model's voice encoder, and what tests share about prompts."""

import hashlib
from collections.abc import Callable

import numpy as np

from models import Samples, VoicePrompt

AsAudio = Callable[..., bytes]


class FakeEncoder:
    """A voice encoder whose prompts are a function of what it heard, and which counts its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, str | None]] = []

    def __call__(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        self.calls.append((len(samples), sample_rate, text))
        digest = hashlib.sha256(samples.tobytes()).digest()
        random = np.random.default_rng(list(digest))
        embedding = random.standard_normal(64).astype(np.float32)
        if text is None:
            return VoicePrompt(embedding)
        return VoicePrompt(embedding, random.integers(0, 2048, (len(samples) // 1920, 16)), text)


def assert_same_prompt(first: VoicePrompt, second: VoicePrompt) -> None:
    np.testing.assert_array_equal(first.speaker_embedding, second.speaker_embedding)
    assert first.reference_text == second.reference_text
    if first.reference_codes is None or second.reference_codes is None:
        assert first.reference_codes is second.reference_codes
    else:
        np.testing.assert_array_equal(first.reference_codes, second.reference_codes)
