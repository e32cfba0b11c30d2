"""Utterances laid out as the talker meets them when it speaks: the rows of models/language/prompt.py as token ids.

A row is a text token, codec tokens, the speaker embedding, or a sum of these. Prefill comes first; then each frame's
codes with the text that trails beside it, until the frame whose successor is the end of speech.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models import Codes
from models.architecture import Architecture
from training.place import PLACES, moved

Ids = npt.NDArray[np.int64]
NO_TEXT = NO_CODE = -1  # nothing of this kind in the row
_ASTRAY = 4.0  # deviation of places at most, in parts of a token


@dataclass(frozen=True, slots=True)
class Utterance:
    """One training example in token ids, before its layout."""

    text: Sequence[int]
    codes: Codes  # [frames, groups]
    role: Sequence[int]  # <|im_start|> assistant \n
    description: Sequence[int] = ()
    speaker: bool = False  # a speaker embedding takes part
    language: int | None = None  # codec token; None: the model finds out


@dataclass(frozen=True, slots=True)
class Rows:
    """One example laid out. -1 stands for nothing."""

    text: Ids  # [positions]
    codes: Ids  # [positions, groups]; column 0 in the talker's codec vocabulary
    speaker: int  # the position that takes the speaker embedding, -1: none
    first: int  # the position from which frame 0 is predicted; the following ones predict the following frames


class LayoutMaker:
    """Lays utterances out for one architecture."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture

    def rows(self, utterance: Utterance) -> Rows:
        """Positions of prefill and of every frame."""
        text, codes, speaker = self._opening(utterance)
        frames = [list(map(int, frame)) for frame in utterance.codes]
        beside = [*utterance.text, self._architecture.text.tts_eos][: 1 + len(frames)]
        text += [*beside, *[self._architecture.text.tts_pad] * (1 + len(frames) - len(beside))]
        codes += [self._control(self._architecture.tokens.bos), *frames]
        first = len(codes) - len(frames) - 1
        return Rows(np.array(text), np.array(codes), speaker, first)

    @property
    def _nothing(self) -> list[int]:
        return [NO_CODE] * self._architecture.code_groups

    def _control(self, token: int) -> list[int]:
        return [token, *self._nothing[1:]]

    def _opening(self, utterance: Utterance) -> tuple[list[int], list[list[int]], int]:
        """Description, role, tags and speaker: text ids, code rows, the speaker's position."""
        tokens, names = self._architecture.tokens, self._architecture.text
        text = [*utterance.description, *utterance.role]
        codes = [self._nothing] * len(text)
        if utterance.language is None:
            tags = [tokens.nothink, tokens.think_bos, tokens.think_eos]
        else:
            tags = [tokens.think, tokens.think_bos, utterance.language, tokens.think_eos]
        codes += map(self._control, tags)
        speaker = NO_CODE
        if utterance.speaker:
            speaker = len(codes)
            codes.append(self._nothing)
        codes.append(self._control(tokens.pad))
        text += [names.tts_pad] * (len(codes) - len(text) - 1) + [names.tts_bos]
        return text, codes, speaker


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples side by side, padded at their ends; ids index the network's joint tables."""

    text: Tensor  # int64 [batch, positions]: rows of Network.text_rows
    codes: Tensor  # int64 [batch, positions, groups]: rows of Network.code_rows
    speaker: Tensor  # float32 [batch, positions]: 1 where the speaker embedding is
    spoken: Tensor  # int64 [predictions]: flat positions that predict a code 0
    targets: Tensor  # int64 [predictions]: that code 0, or end of speech
    frames: Tensor  # int64 [frames]: flat positions whose frame the predictor learns
    frame_codes: Tensor  # int64 [frames, groups]


def collate(
    rows: Sequence[Rows],
    architecture: Architecture,
    positions: int,
    generator: np.random.Generator,
    share: float = 1.0,
    noise: float = 0.0,
    dropped: float = 0.0,
) -> Batch:
    """A batch of `positions` positions. `share` of the frames go to the predictor. `noise`: at most this share of the
    codes of an example's sound are drawn anew where they are inputs, and places are moved a little there, as a guard
    against errors that feed on themselves. `dropped`: the share of examples of which half the frames or more have no
    sound there, so that the text has to be looked at."""
    vocabulary, codebook = architecture.talker.vocabulary, architecture.predictor.vocabulary
    groups, count = architecture.code_groups, len(rows)
    text = np.full((count, positions), NO_TEXT)
    codes = np.full((count, positions, groups), NO_CODE)
    speaker = np.zeros((count, positions), dtype=np.float32)
    spoken: list[Ids] = []
    targets: list[Ids] = []
    clean: list[Ids] = []
    for index, row in enumerate(rows):
        length = len(row.text)
        text[index, :length] = row.text
        codes[index, :length] = row.codes
        if row.speaker >= 0:
            speaker[index, row.speaker] = 1
        spoken.append(index * positions + np.arange(row.first, length))
        frames = row.codes[row.first + 1 :]
        targets.append(np.append(frames[:, 0], architecture.tokens.eos))
        clean.append(frames)
        if noise:
            sound, places = frames[:, :-PLACES], frames[:, -PLACES:]
            hit = generator.random(sound.shape) < noise * generator.random()
            drawn = generator.integers(0, codebook, sound.shape)
            missing = generator.uniform(0.5, 1.0) if generator.random() < dropped else 0.0
            gone = generator.random((len(frames), 1)) < missing
            heard = np.where(gone, NO_CODE, np.where(hit, drawn, sound))
            astray = np.rint(generator.normal(0, _ASTRAY * generator.random(), len(frames))).astype(np.int64)
            codes[index, row.first + 1 : length] = np.concatenate((heard, moved(places, astray, codebook)), axis=1)
    all_frames = np.concatenate([flat[:-1] for flat in spoken])
    all_codes = np.concatenate(clean)
    kept = generator.permutation(len(all_frames))[: max(1, round(share * len(all_frames)))]
    nowhere = vocabulary + (groups - 1) * codebook
    offsets = np.array([0, *(vocabulary + codebook * np.arange(groups - 1))])
    return Batch(
        text=torch.from_numpy(np.where(text < 0, architecture.text_vocabulary, text)),
        codes=torch.from_numpy(np.where(codes < 0, nowhere, codes + offsets)),
        speaker=torch.from_numpy(speaker),
        spoken=torch.from_numpy(np.concatenate(spoken)),
        targets=torch.from_numpy(np.concatenate(targets)),
        frames=torch.from_numpy(all_frames[kept]),
        frame_codes=torch.from_numpy(all_codes[kept]),
    )
