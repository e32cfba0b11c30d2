"""Speech at the pace of its text: one token a frame, so that what is spoken always stands as near to the newest token.

Word for word the teacher's speech is stretched or squeezed until each word takes as many frames as it has tokens.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from training.mel import STEPS
from training.sound import GATES, Analysis
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

LEAD, TAIL = 3, 2  # frames of silence: text that is read before the first sound, and after the last one
_FRAME = SAMPLES_PER_FRAME / SAMPLE_RATE  # seconds
_LEAST = 0.05  # seconds that the last word takes


def anchors(words: Sequence[tuple[int, float]], lengths: Sequence[int], end: float) -> tuple[list[int], list[float]]:
    """Where words start: in tokens, and in seconds. `lengths`: letters of each token."""
    token_at = np.repeat(np.arange(len(lengths)), lengths)
    tokens, seconds = [0], [words[0][1]]
    for place, second in words[1:]:
        token = int(token_at[min(place, len(token_at) - 1)])
        if token > tokens[-1] and second > seconds[-1]:
            tokens.append(token)
            seconds.append(second)
    return [*tokens, len(lengths)], [*seconds, max(end, seconds[-1] + _LEAST)]


def paced(speech: Analysis, words: Sequence[tuple[int, float]], lengths: Sequence[int], end: float) -> Analysis:
    """One frame for each token, with silence before and after."""
    tokens, seconds = anchors(words, lengths, end)

    def when(parts: int) -> npt.NDArray[np.float64]:
        """Frames in which the middle of each part of a token's frame was said."""
        middles = (np.arange(len(lengths) * parts) + 0.5) / parts
        return np.interp(middles, tokens, seconds) / _FRAME

    steps = np.clip(when(STEPS) * STEPS - 0.5, 0, len(speech.envelope) - 1.001)
    first = steps.astype(np.int64)
    share = torch.from_numpy((steps - first).astype(np.float32))[:, None]
    envelope = speech.envelope[first] * (1 - share) + speech.envelope[first + 1] * share
    parts = np.clip((when(GATES) * GATES).astype(np.int64), 0, len(speech.hertz) - 1)
    silence = Analysis.silence
    return Analysis.joined([silence(LEAD), Analysis(envelope, speech.hertz[parts]), silence(TAIL)])
