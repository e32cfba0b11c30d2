"""What the codec decoder is taught: random pieces of the corpus as codes, and what they are to sound like."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.corpus import Corpus
from training.quantizer import Quantizer
from training.sound import synthesised
from training.work import SAMPLES_PER_FRAME

CONTEXT = 12  # frames that only the transformer sees
_BEFORE = 1  # frames whose sound reaches into what is judged
SETTLING = 2  # of the frames that become samples: not judged, convolutions start from nothing there


@dataclass(frozen=True, slots=True)
class Lesson:
    """Several pieces side by side."""

    codes: Tensor  # [batch, CONTEXT + frames, groups]
    samples: Tensor  # [batch, frames * samples a frame]


class Lessons:
    """`pieces` pieces of `frames` frames at a time."""

    def __init__(self, corpus: Corpus, quantizer: Quantizer, pieces: int, frames: int) -> None:
        self._corpus = corpus
        self._quantizer = quantizer
        self._pieces, self._length = pieces, CONTEXT + frames
        self._utterances = [one for one in corpus.split("train") if corpus.frames(one) >= self._length]

    def draw(self, generator: np.random.Generator) -> Lesson:
        """A random one."""
        chosen = generator.integers(len(self._utterances), size=self._pieces)
        codes = torch.stack([self._piece(place, generator) for place in chosen])
        with torch.no_grad():
            heard = synthesised(self._quantizer.decode(codes[:, CONTEXT - _BEFORE :]))
        samples = heard[:, _BEFORE * SAMPLES_PER_FRAME :]
        return Lesson(codes, samples)

    def _piece(self, place: int, generator: np.random.Generator) -> Tensor:
        codes = self._corpus.codes(self._utterances[place])
        start = int(generator.integers(len(codes) - self._length + 1))
        return torch.from_numpy(codes[start : start + self._length])
