"""How far two waveforms are apart to the ear: spectra of several resolutions, phases left out."""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.mel import log_mel

_RESOLUTIONS = ((2048, 480), (1024, 240), (512, 120), (240, 60))  # window and hop in samples
_FLOOR = 1e-2  # of magnitudes, before the logarithm: of a window of 1,024 samples
_LINEAR = 0.2  # weight of magnitudes beside their logarithms
_MEL = 2.0


def _magnitudes(samples: Tensor, window: int, hop: int) -> Tensor:
    """[batch, samples] -> [batch, bins, steps], as large for every window."""
    spectrum = torch.stft(samples, window, hop, window=torch.hann_window(window), center=False, return_complex=True)
    power = torch.view_as_real(spectrum).square().sum(-1)
    return (power + 1e-8).sqrt() * (1024 / window) ** 0.5


def spectral_loss(made: Tensor, wanted: Tensor) -> tuple[Tensor, float]:
    """What to minimise, and the mel part of it alone (mean difference of log-mels), for [batch, samples]."""
    mel = F.l1_loss(log_mel(made), log_mel(wanted))
    total = _MEL * mel
    for window, hop in _RESOLUTIONS:
        ours, theirs = _magnitudes(made, window, hop), _magnitudes(wanted, window, hop)
        total = total + F.l1_loss((ours + _FLOOR).log(), (theirs + _FLOOR).log()) + _LINEAR * F.l1_loss(ours, theirs)
    return total, mel.item()
