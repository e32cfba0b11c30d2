"""Log-mel spectra: what speech sounds like, without its phases."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from models.cloning import mel_filters
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

MELS = 80
WINDOW = 1024  # samples, also the size of the transform
HOP = 240  # samples
BEFORE = (WINDOW - HOP) // 2  # samples that the first window starts early
STEPS = SAMPLES_PER_FRAME // HOP  # windows a frame
FLOOR = 3e-3  # of mel magnitudes, before the logarithm: 45 dB below a loud vowel


@cache
def filters() -> Tensor:
    """[MELS, bins]."""
    return torch.as_tensor(mel_filters(MELS, SAMPLE_RATE))


def spectrum(samples: Tensor) -> Tensor:
    """Samples [batch, frames * samples a frame] -> complex [batch, bins, frames * STEPS], windows centred in their
    hops."""
    padded = F.pad(samples, (BEFORE, BEFORE))
    return torch.stft(padded, WINDOW, HOP, window=torch.hann_window(WINDOW), center=False, return_complex=True)


def log_mel(samples: Tensor) -> Tensor:
    """Samples [..., frames * samples a frame] -> [..., frames * STEPS, MELS]."""
    sizes = spectrum(samples.reshape(-1, samples.shape[-1])).abs()
    mel = torch.log((filters() @ sizes).transpose(1, 2) + FLOOR)
    return mel.reshape(*samples.shape[:-1], -1, MELS)
