"""The utterances that are measured."""

import numpy as np

from models import Sampling, SpeechEngine, SynthesisRequest, VoicePrompt

TEXT = "Hello, this is a test of how long it takes to say something on an ordinary machine."
DESCRIPTION = "A clear, professional narrator voice"
REFERENCE_TEXT = "A few words that were said before."
REFERENCE_FRAMES = 38  # 3 s


def benchmark_voice(engine: SpeechEngine, groups: int, codebook: int) -> VoicePrompt:
    """A cached voice with a reference of 3 s."""
    random = np.random.default_rng(0)
    embedding = random.standard_normal(engine.info.speaker_embedding_size).astype(np.float32)
    return VoicePrompt(embedding, random.integers(0, codebook, (REFERENCE_FRAMES, groups)), REFERENCE_TEXT)


def benchmark_request(voice: VoicePrompt | None, frames: int, seed: int) -> SynthesisRequest:
    """What every stream says."""
    description = DESCRIPTION if voice is None else None
    sampling = Sampling(seed=seed)
    return SynthesisRequest(TEXT, "english", voice, description, sampling=sampling, max_frames=frames)
