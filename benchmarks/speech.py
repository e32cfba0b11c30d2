"""The utterances that are measured."""

import numpy as np

from models import Sampling, SynthesisRequest, VoicePrompt
from models.architecture import Architecture

TEXT = "Hello, this is a test of how long it takes to say something on an ordinary machine."
DESCRIPTION = "A clear, professional narrator voice"
REFERENCE_TEXT = "A few words that were said before."
REFERENCE_FRAMES = 38  # 3 s


def benchmark_voice(architecture: Architecture) -> VoicePrompt | None:
    """A cloned voice with a reference of 3 s; None for a model that takes a description instead."""
    if architecture.kind != "base":
        return None
    random = np.random.default_rng(0)
    embedding = random.standard_normal(architecture.talker.hidden).astype(np.float32)
    shape = (REFERENCE_FRAMES, architecture.code_groups)
    return VoicePrompt(embedding, random.integers(0, architecture.codec.codebook_size, shape), REFERENCE_TEXT)


def benchmark_request(voice: VoicePrompt | None, frames: int, seed: int) -> SynthesisRequest:
    """What every stream says."""
    description = DESCRIPTION if voice is None else None
    sampling = Sampling(seed=seed)
    return SynthesisRequest(TEXT, "english", voice, description, sampling=sampling, max_frames=frames)
