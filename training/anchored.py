"""Speech whose pitch is that of its codes and whose phases start anew with every frame.

Codes hold no phases, and a decoder without feedback cannot add them up over time: taught with the teacher's own
waveforms it hums at the rates of its layers. So what it is taught is resynthesised below 4 kHz wherever it is voiced: a
whole number of pitch periods in each frame, as many as the codes' pitch comes nearest to, under the teacher's spectral
envelope. The samples of a frame are then a function of its codes, and phases can be judged too.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.mel import HOP, MELS, STEPS, WINDOW, filters, log_mel
from training.pitch import pitch_track
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

_KEPT, _REPLACED = 4000.0, 3500.0  # hertz: above the first the teacher's spectrum stays, below the second none of it
_PERIODS = (5, 36)  # least and most of a frame
_COSINES = 20  # of the envelope: finer than the quantiser's, still coarser than harmonics


def envelope(mel: Tensor) -> Tensor:
    """Log mels [..., MELS] without their fine structure."""
    place = (torch.arange(MELS) + 0.5) * math.pi / MELS
    cosines = torch.cos(place[:, None] * torch.arange(_COSINES))
    cosines = cosines / cosines.norm(dim=0)
    return mel @ cosines @ cosines.T


def pulses(hertz: Tensor) -> Tensor:
    """Pulses up to 4 kHz at whole periods of each frame: [batch, frames] -> [batch, frames * samples a frame]."""
    periods = (hertz * SAMPLES_PER_FRAME / SAMPLE_RATE).round().clamp(*_PERIODS)
    half = math.pi * periods[..., None] * torch.arange(SAMPLES_PER_FRAME) / SAMPLES_PER_FRAME  # half the phase
    harmonics = (_KEPT * SAMPLES_PER_FRAME / SAMPLE_RATE / periods).floor()[..., None]
    sine = half.sin()
    at_pulse = sine.abs() < 1e-4
    # The sum of `harmonics` cosines (Dirichlet's kernel).
    summed = ((2 * harmonics + 1) * half).sin() / (2 * torch.where(at_pulse, 1.0, sine)) - 0.5
    return torch.where(at_pulse, harmonics.expand_as(summed), summed).flatten(1) / harmonics.mean()


def voiced(samples: Tensor) -> Tensor:
    """Which steps of HOP samples are voiced: [batch, samples] -> float [batch, steps], with soft edges."""
    track = np.stack([pitch_track(row, SAMPLE_RATE, 2 * HOP) > 0 for row in samples.numpy()])
    gate = torch.from_numpy(track).float().repeat_interleave(2, dim=1)
    return F.avg_pool1d(gate[:, None], 3, stride=1, padding=1)[:, 0]


def spectrum(samples: Tensor) -> Tensor:
    """Complex [batch, bins, steps], windows centred in their hops as the mels' are."""
    before = (WINDOW - HOP) // 2
    padded = F.pad(samples, (before, before))
    return torch.stft(padded, WINDOW, HOP, window=torch.hann_window(WINDOW), center=False, return_complex=True)


def _waveform(spectra: Tensor, length: int) -> Tensor:
    """Of a spectrum as made above: overlap and add."""
    window = torch.hann_window(WINDOW)
    pieces = torch.fft.irfft(spectra, dim=1) * window[:, None]
    size = (1, (spectra.shape[2] - 1) * HOP + WINDOW)
    total = F.fold(pieces, size, (1, WINDOW), stride=(1, HOP))[:, 0, 0]
    weight = F.fold((window.square()[:, None]).expand(1, -1, spectra.shape[2]), size, (1, WINDOW), stride=(1, HOP))
    before = (WINDOW - HOP) // 2
    return (total / weight[0, 0, 0].clamp(min=1e-3))[:, before : before + length]


def low_band() -> Tensor:
    """How much of each bin is resynthesised: [bins]."""
    hertz = torch.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    return ((_KEPT - hertz) / (_KEPT - _REPLACED)).clamp(0, 1)


def _to_bins(mel: Tensor) -> Tensor:
    """Log mels [batch, steps, MELS] at the bins of the spectrum: [batch, bins, steps], linearly between centres."""
    weights = filters()
    spread = weights / weights.sum(0, keepdim=True).clamp(min=1e-9)
    return (mel @ spread).transpose(1, 2)


def _voice(samples: Tensor, hertz: Tensor) -> tuple[Tensor, Tensor]:
    """The spectrum that takes the place of the teacher's, and how much it does."""
    source = pulses(hertz)
    share = low_band()[:, None] * voiced(samples)[:, None, :]
    gain = envelope(log_mel(samples)) - envelope(log_mel(source))
    return spectrum(source) * _to_bins(gain).exp() * share, share


def resynthesis(samples: Tensor, hertz: Tensor) -> Tensor:
    """The voice below 4 kHz alone; see `anchored`."""
    voice, _ = _voice(samples, hertz)
    return _waveform(voice, samples.shape[1])


def anchored(samples: Tensor, hertz: Tensor) -> tuple[Tensor, Tensor]:
    """Samples [batch, frames * samples a frame] and the codes' pitch [batch, frames] -> what the decoder is to say,
    and which steps of it are resynthesised [batch, steps]."""
    assert samples.shape[1] == hertz.shape[1] * STEPS * HOP
    voice, share = _voice(samples, hertz)
    return _waveform(spectrum(samples) * (1 - share) + voice, samples.shape[1]), share[:, 0]
