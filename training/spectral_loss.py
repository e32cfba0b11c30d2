"""How far two waveforms are apart to the ear: spectra of two resolutions, phases only where they can be known."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.anchored import low_band, spectrum
from training.mel import FLOOR, filters

_SHORT, _SHORT_HOP = 240, 60  # samples
_FLOOR = 1e-2  # of magnitudes, before the logarithm
_LINEAR, _LOGARITHMIC, _MEL, _PHASES = 1.0, 0.5, 2.0, 3.0  # weights


@dataclass(frozen=True, slots=True)
class Distance:
    """What to minimise, and two parts of it: mean difference of log-mels, share of the complex spectrum missed."""

    total: Tensor
    mel: float
    phases: float


def _size(spectra: Tensor) -> Tensor:
    return (torch.view_as_real(spectra).square().sum(-1) + 1e-8).sqrt()


def _log_mel(sizes: Tensor) -> Tensor:
    return (filters() @ sizes + FLOOR).log()


def _short(samples: Tensor) -> Tensor:
    window = torch.hann_window(_SHORT)
    return _size(torch.stft(samples, _SHORT, _SHORT_HOP, window=window, center=False, return_complex=True))


def distance(made: Tensor, wanted: Tensor, gate: Tensor) -> Distance:
    """Of [batch, samples]; `gate` [batch, steps] says where the phases below 4 kHz are the codes' own."""
    ours, theirs = spectrum(made), spectrum(wanted)
    our_size, their_size = _size(ours), _size(theirs)
    share = low_band()[:, None] * gate[:, None, :]
    phases = (_size(ours - theirs) * share).sum() / ((their_size * share).sum() + 1.0)
    mel = F.l1_loss(_log_mel(our_size), _log_mel(their_size))
    total = _PHASES * phases + _MEL * mel
    for one, other in ((our_size, their_size), (_short(made), _short(wanted))):
        linear = (one - other).norm() / (other.norm() + 1.0)
        total = total + _LINEAR * linear + _LOGARITHMIC * F.l1_loss((one + _FLOOR).log(), (other + _FLOOR).log())
    return Distance(total, mel.item(), phases.item())
