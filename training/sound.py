"""What a frame sounds like in a few numbers: spectral envelope, pitch, and where it is voiced; and speech made of them.

The speech is a function of these numbers alone: in each frame a whole number of pitch periods, or the same noise in
every frame, under the envelope. So a decoder without feedback, which cannot add phases up over time, can be taught it
sample by sample, and codes that hold these numbers hold all of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from training.mel import BEFORE, FLOOR, HOP, MELS, STEPS, WINDOW, filters, log_mel, spectrum
from training.pitch import pitch_track
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

PERIODS = (5, 36)  # least and most of a frame
GATES = 4  # parts of a frame that are voiced or not
COSINES = 24  # of the envelope: finer than formants, coarser than harmonics
_VOICED = (3500.0, 4500.0)  # hertz: below the first voice is periodic, above the second it is noise
_NOISE_SEED = 7
_AROUND, _LEAP = 8, 0.4  # voiced parts on either side, octaves
_CORRECTIONS = 1  # of the envelope, by what came of it


@dataclass(frozen=True, slots=True)
class Sound:
    """Frames of speech, or batches of them: leading dimensions are the same in all three."""

    envelope: Tensor  # float32 [..., frames, STEPS, COSINES]: of log-mel spectra
    periods: Tensor  # int64 [..., frames]: pitch periods of a frame; 0 where nothing is voiced
    gates: Tensor  # bool [..., frames, GATES]: what is voiced


@cache
def cosines() -> Tensor:
    """An orthonormal basis of envelopes: [MELS, COSINES]."""
    place = (torch.arange(MELS) + 0.5) * math.pi / MELS
    basis = torch.cos(place[:, None] * torch.arange(COSINES))
    return basis / basis.norm(dim=0)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Speech as it was heard, before frames are made of it."""

    envelope: Tensor  # float32 [frames * STEPS, COSINES]
    hertz: npt.NDArray[np.float32]  # [frames * GATES], 0 where nothing is voiced

    @classmethod
    def of(cls, samples: npt.NDArray[np.float32]) -> "Analysis":
        """Samples [frames * samples a frame]."""
        track = pitch_track(samples, SAMPLE_RATE, SAMPLES_PER_FRAME // GATES)
        return cls(log_mel(torch.from_numpy(samples)) @ cosines(), _without_leaps(track))

    @classmethod
    def silence(cls, frames: int) -> "Analysis":
        """Nothing is heard."""
        envelope = (torch.full((1, MELS), math.log(FLOOR)) @ cosines()).expand(frames * STEPS, -1)
        return cls(envelope, np.zeros(frames * GATES, dtype=np.float32))

    @classmethod
    def joined(cls, parts: "Sequence[Analysis]") -> "Analysis":
        """One after the other."""
        return cls(torch.cat([one.envelope for one in parts]), np.concatenate([one.hertz for one in parts]))

    def sound(self) -> Sound:
        """Its frames."""
        rows = self.hertz.reshape(-1, GATES)
        gates = rows > 0
        hertz = np.array([np.median(row[row > 0]) if row.any() else 0.0 for row in rows])
        periods = np.where(gates.any(1), np.clip(np.round(hertz * SAMPLES_PER_FRAME / SAMPLE_RATE), *PERIODS), 0)
        envelope = self.envelope.view(-1, STEPS, COSINES)
        return Sound(envelope, torch.from_numpy(periods.astype(np.int64)), torch.from_numpy(gates))


def _without_leaps(track: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A pitch an octave or so away from the middle of what is voiced around it is a mistake."""
    (places,) = np.nonzero(track)
    if not len(places):
        return track
    voiced = track[places]
    around = np.lib.stride_tricks.sliding_window_view(np.pad(voiced, _AROUND, mode="edge"), 2 * _AROUND + 1)
    middle = np.median(around, axis=1)
    mended = track.copy()
    mended[places] = np.where(np.abs(np.log2(voiced / middle)) > _LEAP, middle, voiced)
    return mended


def _waveform(spectra: Tensor, length: int) -> Tensor:
    """Of spectra as made above: overlap and add."""
    window = torch.hann_window(WINDOW)
    pieces = torch.fft.irfft(spectra, dim=1) * window[:, None]
    size = (1, (spectra.shape[2] - 1) * HOP + WINDOW)
    total = F.fold(pieces, size, (1, WINDOW), stride=(1, HOP))[:, 0, 0]
    weight = F.fold(window.square()[:, None].expand(1, -1, spectra.shape[2]), size, (1, WINDOW), stride=(1, HOP))
    return (total / weight[0, 0, 0].clamp(min=1e-3))[:, BEFORE : BEFORE + length]


def _pulses(periods: Tensor) -> Tensor:
    """Pulses up to where voice is periodic, whole periods a frame: [batch, frames] -> [batch, samples]."""
    periods = periods.clamp(min=PERIODS[0]).float()
    half = math.pi * periods[..., None] * torch.arange(SAMPLES_PER_FRAME) / SAMPLES_PER_FRAME  # half the phase
    harmonics = (_VOICED[1] * SAMPLES_PER_FRAME / SAMPLE_RATE / periods).floor()[..., None]
    sine = half.sin()
    at_pulse = sine.abs() < 1e-4
    # The sum of `harmonics` cosines (Dirichlet's kernel).
    summed = ((2 * harmonics + 1) * half).sin() / (2 * torch.where(at_pulse, 1.0, sine)) - 0.5
    summed = torch.where(at_pulse, harmonics.expand_as(summed), summed) * periods[..., None] / 100
    return summed.flatten(1)


@cache
def _noise() -> Tensor:
    """A frame of noise whose spectrum is flat: [samples a frame]."""
    phases = torch.rand(SAMPLES_PER_FRAME // 2 + 1, generator=torch.Generator().manual_seed(_NOISE_SEED))
    return torch.fft.irfft(torch.polar(torch.ones_like(phases), 2 * math.pi * phases), norm="ortho")


@dataclass(frozen=True, slots=True)
class _Source:
    """Pulses or noise that an envelope is laid over."""

    spectrum: Tensor  # complex [batch, bins, steps], where it is to be heard
    own: Tensor  # [batch, steps, MELS]: its own envelope

    @classmethod
    def of(cls, samples: Tensor, share: Tensor) -> "_Source":
        """Of samples [batch, samples]; `share` [batch, bins, steps] of them are heard."""
        return cls(spectrum(samples) * share, log_mel(samples) @ cosines() @ cosines().T)


@cache
def _spread() -> tuple[Tensor, Tensor]:
    """Bands onto the bins that belong to them [MELS, bins], and which bins belong to any (the lowest does not)."""
    weights = filters()
    total = weights.sum(0)
    return weights / total.clamp(min=1e-9), (total > 0)[:, None]


def synthesised(sound: Sound) -> Tensor:
    """Speech [batch, samples] of [batch, frames]."""
    wanted = sound.envelope.flatten(1, 2)
    voice, noise = _pulses(sound.periods), _noise().repeat(len(wanted), sound.periods.shape[1])
    hertz = torch.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    low = ((_VOICED[1] - hertz) / (_VOICED[1] - _VOICED[0])).clamp(0, 1)
    gate = sound.gates.float().flatten(1).repeat_interleave(STEPS // GATES, dim=1)
    share = low[:, None] * F.avg_pool1d(gate[:, None], 3, stride=1, padding=1)
    sources = (_Source.of(voice, share), _Source.of(noise, 1 - share))
    envelope, length = wanted, voice.shape[1]
    for _ in range(_CORRECTIONS):
        samples = _waveform(_under(envelope, sources), length)
        envelope = envelope + wanted - log_mel(samples) @ cosines()
    return _waveform(_under(envelope, sources), length)


def _under(envelope: Tensor, sources: Sequence[_Source]) -> Tensor:
    """Spectra of sources made to sound like the envelope [batch, steps, COSINES]: [batch, bins, steps]."""
    wanted = ((envelope @ cosines().T).exp() - FLOOR).clamp(min=1e-5).log()
    spread, heard = _spread()
    gains = (((wanted - one.own) @ spread).transpose(1, 2).exp() * heard for one in sources)
    return torch.stack([one.spectrum * gain for one, gain in zip(sources, gains, strict=True)]).sum(0)
