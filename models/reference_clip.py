"""What is silence in a reference clip, and why one must end in it."""

import numpy as np
import numpy.typing as npt

from models.request import Samples

TRAILING_SILENCE_SECONDS = 0.5
SILENCE_LEVEL = 10 ** (-50 / 20)  # RMS of a window, full scale is 1
SILENCE_RELATIVE_LEVEL = 10 ** (-40 / 20)  # against the loudest window: the hiss of a room is silence too
WINDOWS_A_SECOND = 50


def window_levels(samples: Samples, sample_rate: int) -> npt.NDArray[np.float32]:
    """RMS of each 20 ms, counted from the end and without a constant offset: [windows]."""
    window = sample_rate // WINDOWS_A_SECOND
    centred = samples - samples.mean()
    windows = centred[len(samples) % window :].reshape(-1, window)
    return np.sqrt(np.mean(np.square(windows), axis=1))


def end_in_silence(samples: Samples, sample_rate: int) -> Samples:
    """Half a second of silence after a clip that has none at its end: without it the clone echoes the clip's tail.

    `samples` [samples] are at least one window. What comes out comes out as it is when it goes in again.
    """
    levels = window_levels(samples, sample_rate)
    threshold = max(SILENCE_LEVEL, SILENCE_RELATIVE_LEVEL * float(levels.max()))
    count = int(TRAILING_SILENCE_SECONDS * WINDOWS_A_SECOND)
    if len(levels) >= count and levels[-count:].max() < threshold:
        return samples
    return np.concatenate([samples, np.zeros(int(TRAILING_SILENCE_SECONDS * sample_rate), np.float32)])
