"""The pitch of a voice."""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_WINDOW, _HOP = 1024, 480  # samples
_LOWEST, _HIGHEST = 60.0, 450.0  # hertz
_LOUD = 0.002  # energy of a window against the loudest one's
_NEARLY = 0.9  # as high as the highest correlation: several periods correlate as well as one
_PEAK = 12  # lags that a peak of the correlation may be wide
_PERIODIC = 0.6  # correlation of a voiced window with itself one period later


def median_pitch(samples: Samples, sample_rate: int) -> float:
    """Hertz, the median over voiced windows; 0 when nothing is voiced."""
    track = pitch_track(samples, sample_rate, _HOP)
    return float(np.median(track[track > 0])) if track.any() else 0.0


def pitch_track(samples: Samples, sample_rate: int, hop: int) -> Samples:
    """Hertz of the window in the middle of each hop, by autocorrelation; 0 where nothing is voiced."""
    before = (_WINDOW - hop) // 2
    padded = np.pad(samples, (max(before, 0), _WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: len(samples) : hop]
    energy = np.square(windows).mean(axis=1)
    correlation = _autocorrelation(windows * np.hanning(_WINDOW))
    correlation /= _autocorrelation(np.hanning(_WINDOW)[None]) + 1e-3
    correlation /= correlation[:, :1] + 1e-9
    first, last = int(sample_rate / _HIGHEST), int(sample_rate / _LOWEST)
    correlation = correlation[:, first:last]
    highest = correlation.max(axis=1)
    lags = (correlation > _NEARLY * highest[:, None]).argmax(axis=1)  # the first such lag, somewhat before its peak
    near = lags[:, None] + np.arange(_PEAK)
    peaks = lags + np.take_along_axis(correlation, near.clip(max=last - first - 1), axis=1).argmax(axis=1)
    voiced = (highest > _PERIODIC) & (energy > _LOUD * energy.max(initial=1e-9))
    return np.where(voiced, sample_rate / (first + peaks), 0).astype(np.float32)


def _autocorrelation(windows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """[windows, samples] -> the same, by lag, 1 at lag zero for the largest window's shape."""
    power = np.abs(np.fft.rfft(windows, 2 * _WINDOW)) ** 2
    return np.fft.irfft(power)[:, :_WINDOW]
