"""How far one reading is from another: mel spectra warped onto each other in time."""

import numpy as np
import numpy.typing as npt
import torch

from training.mel import HOP, log_mel
from training.sound import cosines
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

Features = npt.NDArray[np.float32]  # [windows, mels]

_JOINED = 2  # windows of 10 ms that become one
_CEPSTRA = 13
RATE = SAMPLE_RATE / HOP / _JOINED


def features(samples: npt.NDArray[np.float32]) -> Features:
    """Samples at 24 kHz -> log mel spectra, RATE a second."""
    whole = np.pad(samples.astype(np.float32), (0, -len(samples) % SAMPLES_PER_FRAME))
    mel = log_mel(torch.from_numpy(whole)).numpy()
    return mel.reshape(-1, _JOINED, mel.shape[1]).mean(axis=1)


def cepstra(mel: Features) -> Features:
    """The mel cepstrum of each window without its level, 1 to 13: what is said, hardly how high. Their distance is the
    mel-cepstral distortion (Kubichek, 1993) without its factor of decibels: [windows, mels] -> [windows, 13]."""
    return mel @ cosines()[:, 1 : 1 + _CEPSTRA].numpy()


def warped_distance(one: Features, other: Features) -> float:
    """Mean Euclidean distance along the best alignment (dynamic time warping; Sakoe and Chiba, 1978).

    Both may stand still while the other moves; a path's mean is over its steps, of which a diagonal one counts twice,
    so that no alignment is cheaper for being shorter.
    """
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    costs = np.sqrt(np.maximum(squares, 0.0))
    rows, columns = costs.shape
    # Antidiagonals: all cells of one depend on the two before alone. Index: row + 1.
    before = np.full(rows + 1, np.inf)
    last = np.full(rows + 1, np.inf)
    before[0] = 0.0  # the corner that the path starts from
    for diagonal in range(rows + columns - 1):
        first, end = max(0, diagonal - columns + 1), min(rows, diagonal + 1)
        places = np.arange(first, end)
        cell = costs[places, diagonal - places]
        now = np.full(rows + 1, np.inf)
        now[first + 1 : end + 1] = np.minimum(
            np.minimum(last[first + 1 : end + 1], last[first:end]) + cell, before[first:end] + 2 * cell
        )
        before, last = last, now
    return float(last[rows]) / (rows + columns)
