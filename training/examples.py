"""Training examples: utterances of the corpus as requests would put them, in every way the shipped kinds are prompted.

base: the speaker embedding of another clip of nearly the same voice; and ICL, where such a clip with its text comes
first. voice_design: a description of what is heard. Text trails or is given at once; some utterances stand one after
the other, so that long passages are known too.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.architecture import Architecture
from models.speaker_encoder import mel_spectrogram
from models.text_tokenizer import TextTokenizer
from models.types import Codes
from training.corpus import Corpus, Utterance
from training.descriptions import LEVELS, Traits, describe, traits_of
from training.layout import LayoutMaker, Rows
from training.layout import Utterance as Layout
from training.pacing import LEAD, TAIL
from training.voice_network import Heard

LONGEST = 384  # positions of an example
_CLIP_SECONDS = 2.5  # what the speaker encoder hears
_MELS = 128
_GAIN = (-2.0, 1.0)  # octaves that clips are made louder or softer
_LONGEST_SPOKEN = 250  # frames of two utterances
_LOWEST, _MIDDLE = 50.0, 150.0  # hertz
_NEAR = (10, 15)  # espeak-ng's pitch and speed: as near is nearly the same voice


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of the ways in which utterances are prompted."""

    design: float = 0.6  # of the main timbres
    language: float = 0.4  # named, not left to the model
    varied: float = 0.1  # timbres of which there is little
    second: float = 0.15  # a second utterance follows
    silent_trait: float = 0.12  # a trait that the description leaves out


@dataclass(frozen=True, slots=True)
class Example:
    """Rows, and the clip that the speaker encoder hears."""

    rows: Rows
    clip: Utterance | None


class ExampleMaker:
    """Draws examples from a split."""

    def __init__(
        self,
        corpus: Corpus,
        architecture: Architecture,
        tokenizer: TextTokenizer,
        mixture: Mixture,
    ) -> None:
        self._corpus = corpus
        self._architecture = architecture
        self._tokenizer = tokenizer
        self._mixture = mixture
        self._maker = LayoutMaker(architecture)
        self._role = tokenizer.encode("<|im_start|>assistant\n")
        self.voices = sorted({one.variant for one in corpus.utterances})
        train = corpus.split("train")
        self._by_voice = {name: [one for one in train if one.variant == name] for name in self.voices}

    def near(self, utterance: Utterance, generator: random.Random, longest: int = 10**9) -> Utterance:
        """Another training utterance of nearly the same voice, of at most `longest` frames; else the same one."""
        candidates = self._by_voice[utterance.variant]
        for _ in range(400):
            one = generator.choice(candidates) if candidates else utterance
            alike = abs(one.pitch - utterance.pitch) <= _NEAR[0] and abs(one.speed - utterance.speed) <= _NEAR[1]
            if alike and one.id != utterance.id and self._corpus.frames(one) <= longest:
                return one
        return utterance

    def example(self, utterance: Utterance, generator: random.Random) -> Example:
        """One way of prompting `utterance`."""
        mixture = self._mixture
        if generator.random() < mixture.design and utterance.role == "main":
            return self._design(utterance, generator)
        return self._base(utterance, generator)

    def _base(self, utterance: Utterance, generator: random.Random) -> Example:
        spoken = self._continued(utterance, generator)
        layout = Layout(
            text=self._tokenizer.encode(" ".join(one.text for one in spoken)),
            codes=self._joined(spoken),
            role=self._role,
            speaker=True,
            language=self._language(utterance, generator),
        )
        return Example(self._maker.rows(layout), self.near(utterance, generator))

    def _design(self, utterance: Utterance, generator: random.Random) -> Example:
        spoken = self._continued(utterance, generator)
        layout = Layout(
            text=self._tokenizer.encode(" ".join(one.text for one in spoken)),
            codes=self._joined(spoken),
            role=self._role,
            description=self.description_ids(describe(self._said(utterance, generator), generator)),
            language=self._language(utterance, generator),
        )
        return Example(self._maker.rows(layout), None)

    def description_ids(self, description: str) -> list[int]:
        """As models/prompt.py puts it."""
        return self._tokenizer.encode(f"<|im_start|>user\n{description}<|im_end|>\n")

    def _said(self, utterance: Utterance, generator: random.Random) -> Traits:
        said = [generator.random() >= self._mixture.silent_trait for _ in range(3)]
        whole = traits_of(utterance.sex, utterance.pitch, generator.choice(LEVELS) if said[2] else None)
        return Traits(whole.sex if said[0] else None, whole.pitch if said[1] else None, whole.pace)

    def _continued(self, utterance: Utterance, generator: random.Random) -> list[Utterance]:
        if generator.random() >= self._mixture.second:
            return [utterance]
        return [utterance, self.near(utterance, generator, _LONGEST_SPOKEN - self._corpus.frames(utterance))]

    def _joined(self, utterances: Sequence[Utterance]) -> Codes:
        """One after the other at the pace of their texts: a frame of silence for the space between them."""
        parts = [self._corpus.codes(one) for one in utterances]
        first, *others = parts
        for other in others:
            first = np.concatenate((first[: 1 - TAIL], other[LEAD:]))
        return first

    def _language(self, utterance: Utterance, generator: random.Random) -> int | None:
        named = generator.random() < self._mixture.language
        return self._architecture.languages[utterance.language] if named else None

    def draw(self, utterances: Sequence[Utterance], count: int, generator: random.Random) -> list[Example]:
        """Examples of random utterances, none longer than LONGEST."""
        main, varied = ([one for one in utterances if (one.role == "main") is much] for much in (True, False))
        pools = (varied if varied and generator.random() < self._mixture.varied else main for _ in range(count))
        drawn = (self.example(generator.choice(pool), generator) for pool in pools)
        return [one for one in drawn if len(one.rows.text) <= LONGEST]

    def hear(self, examples: Sequence[Example], generator: random.Random) -> Heard:
        """What the speaker encoder hears of the examples that have a clip."""
        clips = [(place, one.clip) for place, one in enumerate(examples) if one.clip is not None]
        pitches = [math.log2(max(clip.median_pitch, _LOWEST) / _MIDDLE) for _, clip in clips]
        return Heard(
            torch.stack([self._mels(clip, generator) for _, clip in clips] or [torch.empty(0)]),
            torch.tensor([place for place, _ in clips], dtype=torch.int64),
            torch.tensor([self.voices.index(clip.variant) for _, clip in clips]),
            torch.tensor(pitches, dtype=torch.float32),
        )

    def _mels(self, clip: Utterance, generator: random.Random) -> Tensor:
        rate = self._architecture.sample_rate
        length = int(_CLIP_SECONDS * rate)
        samples = self._corpus.samples(clip)
        start = generator.randint(0, max(0, len(samples) - length))
        piece = np.resize(samples[start : start + length], length)
        piece = piece * np.float32(2 ** generator.uniform(*_GAIN))
        return mel_spectrogram(torch.from_numpy(piece), _MELS, rate)[0]


def batches(lengths: Sequence[int], positions: int, generator: random.Random) -> Iterator[list[int]]:
    """Places grouped by similar length so that each group holds about `positions` positions; groups in random order."""
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    groups: list[list[int]] = [[]]
    for place in order:
        if groups[-1] and (len(groups[-1]) + 1) * lengths[place] > positions:
            groups.append([])
        groups[-1].append(place)
    generator.shuffle(groups)
    yield from groups
