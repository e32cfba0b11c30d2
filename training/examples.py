"""Training examples: utterances of the corpus as requests would put them, in every way the shipped kinds are prompted.

base: the speaker embedding of another clip of nearly the same voice. voice_design: a description of what is heard. Text
trails; some utterances stand one after the other, so that long passages are known too.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models import Codes
from models.architecture import Architecture
from models.cloning import mel_spectrogram
from models.text import TextTokenizer
from training.corpus import Corpus, Utterance
from training.descriptions import Traits, describe, traits_of
from training.layout import LayoutMaker, Rows
from training.layout import Utterance as Layout
from training.place import place_codes
from training.vocabulary import letters_of_tokens
from training.voice_network import Heard

LONGEST = 384  # positions of an example
_CLIP_SECONDS = 4.0  # what the speaker encoder hears
MELS = 128  # bands that the speaker encoder hears
_BESIDES = 10  # clips of a batch that are heard and not spoken with
GAIN = (-2.0, 1.0)  # octaves that clips are made louder or softer
_LONGEST_SPOKEN = 250  # frames of two utterances
_LOWEST, _MIDDLE = 50.0, 150.0  # hertz
_USUAL_SPEED = 140.0  # words a minute
_NEAR = (5, 8)  # espeak-ng's pitch and speed: as near is nearly the same voice


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of the ways in which utterances are prompted."""

    design: float = 0.5  # of the main timbres
    language: float = 0.4  # named, not left to the model
    varied: float = 0.25  # timbres of which there is little
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
        self._train = corpus.split("train")
        self._by_voice = {name: [one for one in self._train if one.variant == name] for name in self.voices}

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
        text, codes = self._spoken(utterance, generator)
        layout = Layout(
            text=text,
            codes=codes,
            role=self._role,
            speaker=True,
            language=self._language(utterance, generator),
        )
        return Example(self._maker.rows(layout), self.near(utterance, generator))

    def _design(self, utterance: Utterance, generator: random.Random) -> Example:
        text, codes = self._spoken(utterance, generator)
        layout = Layout(
            text=text,
            codes=codes,
            role=self._role,
            description=self.description_ids(describe(self._said(utterance, generator), generator)),
            language=self._language(utterance, generator),
        )
        return Example(self._maker.rows(layout), None)

    def description_ids(self, description: str) -> list[int]:
        """As models/language/prompt.py puts it."""
        return self._tokenizer.encode(f"<|im_start|>user\n{description}<|im_end|>\n")

    def _said(self, utterance: Utterance, generator: random.Random) -> Traits:
        sex, pitch, pace = (generator.random() >= self._mixture.silent_trait for _ in range(3))
        whole = traits_of(utterance.sex, utterance.pitch, utterance.speed)
        return Traits(whole.sex if sex else None, whole.pitch if pitch else None, whole.pace if pace else None)

    def _spoken(self, utterance: Utterance, generator: random.Random) -> tuple[list[int], Codes]:
        """Tokens of an utterance and of what follows it, and their codes."""
        spoken = self._continued(utterance, generator)
        text = " ".join(one.text for one in spoken)
        return self._tokenizer.encode(text), self._codes(spoken, text)

    def _continued(self, utterance: Utterance, generator: random.Random) -> list[Utterance]:
        if generator.random() >= self._mixture.second:
            return [utterance]
        return [utterance, self.near(utterance, generator, _LONGEST_SPOKEN - self._corpus.frames(utterance))]

    def _codes(self, utterances: Sequence[Utterance], text: str) -> Codes:
        """Of utterances one after the other; `text` has a space between theirs."""
        starts = np.cumsum([0, *(1 + len(one.text) for one in utterances)])
        letters = [start + self._corpus.letters(one) for start, one in zip(starts, utterances, strict=False)]
        lags = self._architecture.predictor.vocabulary
        places = place_codes(np.concatenate(letters), letters_of_tokens(text), lags)
        return np.concatenate((np.concatenate([self._corpus.codes(one) for one in utterances]), places), axis=1)

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
        """What the speaker encoder hears: clips of the examples that have one, and others to learn more from."""
        prompted = [(place, one.clip) for place, one in enumerate(examples) if one.clip is not None]
        clips = [clip for _, clip in prompted] + generator.choices(self._train, k=_BESIDES)
        return Heard(
            torch.stack([self._mels(clip, generator) for clip in clips]),
            torch.tensor([place for place, _ in prompted], dtype=torch.int64),
            torch.tensor([self.voices.index(clip.variant) for clip in clips]),
            torch.tensor([math.log2(max(clip.median_pitch, _LOWEST) / _MIDDLE) for clip in clips]),
            torch.tensor([math.log2(clip.speed / _USUAL_SPEED) for clip in clips]),
        )

    def _mels(self, clip: Utterance, generator: random.Random) -> Tensor:
        rate = self._architecture.sample_rate
        length = int(_CLIP_SECONDS * rate)
        samples = self._corpus.samples(clip)
        start = generator.randint(0, max(0, len(samples) - length))
        piece = np.resize(samples[start : start + length], length)
        piece = piece * np.float32(2 ** generator.uniform(*GAIN))
        return mel_spectrogram(torch.from_numpy(piece), MELS, rate)[0]


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
