"""What the codec decoder is taught: random pieces of the corpus as codes, and what they are to sound like."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.corpus import Corpus
from training.quantizer import Quantizer
from training.sound import synthesised
from training.work import SAMPLES_PER_FRAME

_CONTEXT = 12  # frames before a piece from the middle of speech
_SETTLING = 2  # frames of it in which convolutions start from nothing
_BEFORE = 1  # frames whose sound reaches into what is judged
_BEGINNINGS = 0.2  # of the lessons: pieces from where speech begins, for nothing comes before them when speaking either


@dataclass(frozen=True, slots=True)
class Lesson:
    """Several pieces side by side."""

    codes: Tensor  # [batch, context + frames, groups]
    samples: Tensor  # [batch, frames * samples a frame]
    context: int  # frames that only the transformer sees
    settling: int  # of the other frames, those that are not judged


class Lessons:
    """`pieces` pieces of `frames` frames at a time."""

    def __init__(self, corpus: Corpus, quantizer: Quantizer, pieces: int, frames: int) -> None:
        self._corpus = corpus
        self._quantizer = quantizer
        self._pieces, self._length = pieces, _CONTEXT + frames
        self._utterances = [one for one in corpus.split("train") if corpus.frames(one) >= self._length]

    def draw(self, generator: np.random.Generator) -> Lesson:
        """A random one."""
        beginning = generator.random() < _BEGINNINGS
        chosen = generator.integers(len(self._utterances), size=self._pieces)
        codes = torch.stack([self._piece(place, beginning, generator) for place in chosen])
        context, settling = (0, 0) if beginning else (_CONTEXT, _SETTLING)
        before = min(context, _BEFORE)
        with torch.no_grad():
            heard = synthesised(self._quantizer.decode(codes[:, context - before :]))
        return Lesson(codes, heard[:, before * SAMPLES_PER_FRAME :], context, settling)

    def _piece(self, place: int, beginning: bool, generator: np.random.Generator) -> Tensor:
        codes = self._corpus.codes(self._utterances[place])
        start = 0 if beginning else int(generator.integers(len(codes) - self._length + 1))
        return torch.from_numpy(codes[start : start + self._length])
