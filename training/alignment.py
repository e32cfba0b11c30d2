"""Where in its text speech stands, frame by frame, as espeak-ng tells: each word's phonemes laid along its letters.

The model reads one token a frame, so nothing can be said before it has been read. Where the teacher is ahead of that it
waits: what follows comes later.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import torch

from training.espeak import Sound
from training.mel import STEPS
from training.sound import GATES, Analysis
from training.vocabulary import letters_of_tokens, sounds_of_word
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

LEAD, TAIL = 2, 1  # frames of silence before the first sound, and after the last one
AHEAD = 2  # frames by which a token has been read at least when it is said
_FRAME = SAMPLES_PER_FRAME / SAMPLE_RATE  # seconds
_LEAST = 1e-3  # seconds between two anchors
_SKIPPED = 0.5  # cost of a sound or a phoneme that has no partner of its own, against one for an unlike pair
_LETTERS = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_VOWELS = frozenset("aeiouy")
_SPOKEN_VOWELS = frozenset("aeiouAEIOUV@03")  # first letters of espeak-ng's
_PAUSE = "_"

Positions = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A letter and when it is said."""

    letter: float
    second: float


def partners(sounds: Sequence[str], phonemes: Sequence[str]) -> list[tuple[int, int]]:
    """Sounds of a word's spelling and its phonemes that begin together, in order: the cheapest monotone alignment, in
    which vowels go with vowels."""
    rows, columns = len(sounds), len(phonemes)
    spelled = np.array([one[0].lower() in _VOWELS for one in sounds])
    spoken = np.array([one[:1] in _SPOKEN_VOWELS for one in phonemes])
    unlike = (spelled[:, None] != spoken[None]).astype(float)
    costs = np.full((rows, columns), np.inf)
    costs[0, 0] = unlike[0, 0]
    moves = ((1, 1, 0.0), (1, 0, _SKIPPED), (0, 1, _SKIPPED))
    came = np.zeros((rows, columns), dtype=np.int64)
    for row in range(rows):
        for column in range(columns):
            for number, (down, right, cost) in enumerate(moves):
                if down <= row and right <= column and (row, column) != (0, 0):
                    total = costs[row - down, column - right] + cost + unlike[row, column]
                    if total < costs[row, column]:
                        costs[row, column], came[row, column] = total, number
    row, column, found = rows - 1, columns - 1, list[tuple[int, int]]()
    while (row, column) != (0, 0):
        down, right, _ = moves[came[row, column]]
        if down and right:
            found.append((row, column))
        row, column = row - down, column - right
    return [(0, 0), *reversed(found)]


def anchors(text: str, sounds: Sequence[Sound], end: float) -> list[Anchor]:
    """Letters and the seconds at which they are said, both growing, from the first sound to `end`, when all is said."""
    found: list[Anchor] = []

    def add(letter: float, second: float) -> None:
        if not found:
            found.append(Anchor(0, second))
        elif letter > found[-1].letter and second > found[-1].second + _LEAST:
            found.append(Anchor(letter, second))

    for place, group in groupby(sounds, key=lambda one: one.place):
        spoken = list(group)
        phonemes = [one for one in spoken if not one.phoneme.startswith(_PAUSE)]
        pauses = [one for one in spoken if one.phoneme.startswith(_PAUSE)]
        word = _LETTERS.match(text, place)
        if phonemes and word is not None:
            parts = sounds_of_word(word.group())
            starts = np.cumsum([0, *map(len, parts)])
            for part, number in partners(parts, [one.phoneme for one in phonemes]):
                add(place + float(starts[part]), phonemes[number].second)
        if pauses and found:
            before = len(text[:place].rstrip())  # where the word ends, and what else is written
            stop = max((match.end() for match in _LETTERS.finditer(text, 0, before + 1)), default=before)
            add(stop, pauses[0].second)
    add(len(text), max(end, found[-1].second + 2 * _LEAST) if found else end)
    return found


@dataclass(frozen=True, slots=True)
class Aligned:
    """Speech that waits for its text, between silences."""

    speech: Analysis
    letters: Positions  # [frames]: how much of the text has been said in the middle of each frame, in letters


def aligned(text: str, speech: Analysis, sounds: Sequence[Sound], end: float) -> Aligned:
    """Lay speech along its text."""
    known = anchors(text, sounds, end)
    lengths = letters_of_tokens(text)
    token_of = np.repeat(np.arange(len(lengths)), lengths)
    frames = [float(LEAD)]
    for before, now in pairwise(known):
        token = token_of[min(int(now.letter), len(text) - 1)]
        frames.append(max(frames[-1] + (now.second - before.second) / _FRAME, float(token + AHEAD)))
    seconds, letters = [one.second for one in known], [one.letter for one in known]
    count = max(1, int(np.ceil(frames[-1])) - LEAD)

    def when(parts: int) -> Positions:
        """Frames of the teacher's in which the middle of each part of a frame was said."""
        middles = LEAD + (np.arange(count * parts) + 0.5) / parts
        return np.interp(middles, frames, seconds) / _FRAME

    steps = np.clip(when(STEPS) * STEPS - 0.5, 0, len(speech.envelope) - 1.001)
    first = steps.astype(np.int64)
    share = torch.from_numpy((steps - first).astype(np.float32))[:, None]
    envelope = speech.envelope[first] * (1 - share) + speech.envelope[first + 1] * share
    parts = np.clip((when(GATES) * GATES).astype(np.int64), 0, len(speech.hertz) - 1)
    silence = Analysis.silence
    said = Analysis.joined([silence(LEAD), Analysis(envelope, speech.hertz[parts]), silence(TAIL)])
    middles = np.interp(LEAD + np.arange(count) + 0.5, frames, letters)
    return Aligned(said, np.concatenate((np.zeros(LEAD), middles, np.full(TAIL, len(text)))))
