"""Reference audio to a speaker embedding: ECAPA-TDNN (Desplanques et al., 2020) over a mel spectrogram.

In float32 and in upstream's order of operations, so that embeddings are upstream's.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import SpeakerEncoderDimensions

TensorSource = Callable[[str], Tensor]

# The spectrogram that the encoder was trained on, fixed in upstream's source.
_WINDOW = 1024  # samples, also the size of the transform
_HOP = 256  # samples
_HIGHEST = 12000.0  # hertz
_FLOOR = 1e-5  # of magnitudes, before the logarithm

# Slaney's mel scale: linear below 1 kHz, logarithmic above.
_LINEAR_STEP = 200.0 / 3  # hertz a mel
_BREAK = 1000.0  # hertz
_LOG_STEP = np.log(6.4) / 27.0


def _mel_frequencies(count: int) -> npt.NDArray[np.float64]:
    """`count` frequencies in hertz, equally far apart in mel from 0 to the highest."""
    break_mel = _BREAK / _LINEAR_STEP
    mels = np.linspace(0.0, break_mel + np.log(_HIGHEST / _BREAK) / _LOG_STEP, count)
    return np.where(mels < break_mel, _LINEAR_STEP * mels, _BREAK * np.exp(_LOG_STEP * (mels - break_mel)))


def mel_filters(count: int, sample_rate: int) -> npt.NDArray[np.float32]:
    """Triangles of equal area, float32 [count, 513] (librosa's `filters.mel`)."""
    bins = np.fft.rfftfreq(n=_WINDOW, d=1.0 / sample_rate)
    frequencies = _mel_frequencies(count + 2)
    widths = np.diff(frequencies)
    ramps = np.subtract.outer(frequencies, bins)
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2.0 / (frequencies[2:] - frequencies[:-2]))[:, None]
    return filters


def mel_spectrogram(samples: Tensor, mels: int, sample_rate: int) -> Tensor:
    """Logarithmic magnitudes: samples [samples] -> [1, mels, mel frames]."""
    padding = (_WINDOW - _HOP) // 2
    padded = F.pad(samples[None, None], (padding, padding), mode="reflect")[0]
    window = torch.hann_window(_WINDOW)
    spectrum = torch.stft(padded, _WINDOW, _HOP, _WINDOW, window, center=False, return_complex=True)
    magnitudes = torch.sqrt(torch.view_as_real(spectrum).pow(2).sum(-1) + 1e-9)
    return torch.log(torch.clamp(torch.as_tensor(mel_filters(mels, sample_rate)) @ magnitudes, min=_FLOOR))


def _statistics(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation over time: [batch, channels, frames] -> two of [batch, channels]."""
    mean = (weights * x).sum(2)
    variance = (weights * (x - mean.unsqueeze(2)).pow(2)).sum(2)
    return mean, torch.sqrt(variance.clamp(1e-12))


class SpeakerEncoder:
    """The speaker encoder of a Base checkpoint."""

    def __init__(self, dimensions: SpeakerEncoderDimensions, source: TensorSource) -> None:
        self._dimensions = dimensions
        self._source = source

    def encode(self, samples: Tensor) -> Tensor:
        """Samples [samples] at the encoder's rate -> embedding [talker hidden size]."""
        return self.embed(mel_spectrogram(samples, self._dimensions.mels, self._dimensions.sample_rate))[0]

    def embed(self, mels: Tensor) -> Tensor:
        """Spectrograms [batch, mels, mel frames] -> embeddings [batch, talker hidden size]."""
        dimensions = self._dimensions
        x = self._unit(mels, "blocks.0", dimensions.dilations[0])
        outputs: list[Tensor] = []
        for block in range(1, len(dimensions.channels) - 1):
            x = self._block(x, f"blocks.{block}", dimensions.dilations[block])
            outputs.append(x)
        x = self._unit(torch.cat(outputs, dim=1), "mfa", dimensions.dilations[-1])
        return self._convolution(self._pool(x), "fc")[:, :, 0]

    def _convolution(self, x: Tensor, name: str, dilation: int = 1) -> Tensor:
        """As long as its input, which is mirrored at both ends."""
        weight = self._source(f"speaker_encoder.{name}.weight").float()
        bias = self._source(f"speaker_encoder.{name}.bias").float()
        padding = dilation * (weight.shape[2] - 1)
        if padding:
            x = F.pad(x, (padding // 2, padding - padding // 2), mode="reflect")
        return F.conv1d(x, weight, bias, dilation=dilation)

    def _unit(self, x: Tensor, name: str, dilation: int = 1) -> Tensor:
        return F.relu(self._convolution(x, f"{name}.conv", dilation))

    def _block(self, x: Tensor, name: str, dilation: int) -> Tensor:
        """Squeeze-excitation Res2Net block."""
        y = self._unit(x, f"{name}.tdnn1")
        y = self._res2net(y, f"{name}.res2net_block", dilation)
        y = self._unit(y, f"{name}.tdnn2")
        squeezed = F.relu(self._convolution(y.mean(dim=2, keepdim=True), f"{name}.se_block.conv1"))
        return y * torch.sigmoid(self._convolution(squeezed, f"{name}.se_block.conv2")) + x

    def _res2net(self, x: Tensor, name: str, dilation: int) -> Tensor:
        """Groups of channels, each also fed with what the one before it made."""
        first, second, *others = torch.chunk(x, self._dimensions.res2net_scale, dim=1)
        outputs = [first, self._unit(second, f"{name}.blocks.0", dilation)]
        for number, part in enumerate(others, start=1):
            outputs.append(self._unit(part + outputs[-1], f"{name}.blocks.{number}", dilation))
        return torch.cat(outputs, dim=1)

    def _pool(self, x: Tensor) -> Tensor:
        """Attentive statistics: [batch, channels, frames] -> [batch, 2 * channels, 1]."""
        frames = x.shape[2]
        mean, deviation = _statistics(x, torch.ones(1, 1, frames) / frames)
        context = (statistic.unsqueeze(2).repeat(1, 1, frames) for statistic in (mean, deviation))
        hidden = torch.tanh(self._unit(torch.cat((x, *context), dim=1), "asp.tdnn"))
        attention = F.softmax(self._convolution(hidden, "asp.conv"), dim=2)
        return torch.cat(_statistics(x, attention), dim=1).unsqueeze(2)
