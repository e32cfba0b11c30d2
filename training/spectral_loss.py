"""How far two waveforms are apart to the ear: log-mel spectra, and complex spectra whose sizes are compressed."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.mel import FLOOR, filters, spectrum

_SHORT, _SHORT_HOP = 240, 60  # samples
_COMPRESSED = 0.3  # power of sizes: what is soft counts too (https://arxiv.org/abs/1804.03619)
_LEAST = 1e-5  # energy, where a power of it is taken
_MEL, _COMPLEX, _SHORT_SIZES = 1.0, 2.0, 1.0  # weights


@dataclass(frozen=True, slots=True)
class Distance:
    """What to minimise, and two parts of it: mean difference of log-mels, share of the compressed spectrum missed."""

    total: Tensor
    mel: float
    missed: float


def _energy(spectra: Tensor) -> Tensor:
    return torch.view_as_real(spectra).square().sum(-1)


def _log_mel(spectra: Tensor) -> Tensor:
    return (filters() @ (_energy(spectra) + 1e-9).sqrt() + FLOOR).log()


def _compressed(spectra: Tensor) -> Tensor:
    """[..., 2]"""
    return torch.view_as_real(spectra) * (_energy(spectra) + _LEAST).pow((_COMPRESSED - 1) / 2)[..., None]


def _short(samples: Tensor) -> Tensor:
    window = torch.hann_window(_SHORT)
    spectra = torch.stft(samples, _SHORT, _SHORT_HOP, window=window, center=False, return_complex=True)
    return (_energy(spectra) + _LEAST).pow(_COMPRESSED / 2)


def distance(made: Tensor, wanted: Tensor) -> Distance:
    """Of [batch, samples]."""
    ours, theirs = spectrum(made), spectrum(wanted)
    mel = F.l1_loss(_log_mel(ours), _log_mel(theirs))
    compressed = _compressed(theirs)
    missed = (_compressed(ours) - compressed).square().sum() / compressed.square().sum()
    short = _short(wanted)
    short_missed = (_short(made) - short).square().sum() / short.square().sum()
    total = _MEL * mel + _COMPLEX * missed + _SHORT_SIZES * short_missed
    return Distance(total, mel.item(), missed.item())
