"""The place in the text at which the next frame stands, as two codes beside those of its sound.

One says how many tokens the speech lags behind the newest one, the other how much of its token has been said. The
decoder hears nothing in them (their entries are zero): they are there for the talker, which is fed the codes of the
last frame, so that it knows which token to look at, at whatever pace it speaks. It says them itself, and so decides how
long everything takes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models import Codes
from training.alignment import Positions

PLACES = 2  # codes
PHASES = 16  # parts of a token


def place_codes(letters: Positions, lengths: Sequence[int], lags: int) -> Codes:
    """How much of a text has been said in each frame, in letters [n], and how many letters its tokens have -> the place
    of each following frame: int64 [n, PLACES], the first below `lags`. After the last one all has been said."""
    ends = np.cumsum([0, *lengths])
    tokens = np.interp(np.append(letters[1:], ends[-1]), ends, np.arange(len(ends)))
    return _codes(np.floor(tokens * PHASES).astype(np.int64), lags)


def moved(codes: Codes, parts: npt.NDArray[np.int64], lags: int) -> Codes:
    """Codes of frames 0 to n - 1 [n, PLACES] with their places moved by so many PHASES-th parts of a token [n]."""
    newest = np.arange(1, len(codes) + 1)
    return _codes(PHASES * (newest - codes[:, 0]) + codes[:, 1] + parts, lags)


def _codes(parts: npt.NDArray[np.int64], lags: int) -> Codes:
    parts = np.maximum(parts, 0)
    lag = np.clip(np.arange(1, len(parts) + 1) - parts // PHASES, 0, lags - 1)
    return np.stack((lag, parts % PHASES), axis=1)
