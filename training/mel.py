"""Log-mel patches: what a frame of 80 ms sounds like, without its phases."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from models.speaker_encoder import mel_filters
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

MELS = 80
WINDOW = 1024  # samples, also the size of the transform
HOP = 240  # samples
STEPS = SAMPLES_PER_FRAME // HOP  # windows a frame
FLOOR = 3e-3  # of mel magnitudes, before the logarithm: 45 dB below a loud vowel


@cache
def filters() -> Tensor:
    """[MELS, bins]."""
    return torch.as_tensor(mel_filters(MELS, SAMPLE_RATE))


def log_mel(samples: Tensor) -> Tensor:
    """Samples [..., frames * samples a frame] -> [..., frames * STEPS, MELS], windows centred in their hops."""
    shape = samples.shape[:-1]
    before = (WINDOW - HOP) // 2
    padded = F.pad(samples.reshape(-1, samples.shape[-1]), (before, before))
    spectrum = torch.stft(padded, WINDOW, HOP, window=torch.hann_window(WINDOW), center=False, return_complex=True)
    return torch.log((filters() @ spectrum.abs()).transpose(1, 2) + FLOOR).reshape(*shape, -1, MELS)


def patches(samples: Tensor) -> Tensor:
    """Samples [frames * samples a frame] -> [frames, STEPS * MELS]."""
    return log_mel(samples).reshape(-1, STEPS * MELS)
