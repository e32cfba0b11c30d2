"""The split residual quantiser of frames, and the codes of the corpus: `python -m training.quantizer`.

As in the published codec the first codebook and the rest each quantise a projection of their own. The first one sees
the coarse envelope of the spectrum alone, which is what is said and not how. The second one is pitch and where the
frame is voiced, said exactly; the others are the fine envelope, one residual after the other.
"""

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.alignment import Aligned, aligned
from training.corpus import Corpus
from training.mel import STEPS
from training.sound import COSINES, GATES, PERIODS, Analysis, Sound
from training.teacher import Spoken
from training.work import SEED, Work, work_of, work_parser

GROUPS = 8
CODEBOOK = 512
WIDTH = 96  # of what is quantised
_PITCHES = PERIODS[1] - PERIODS[0] + 1
SHAPES = WIDTH - GATES - _PITCHES  # principal components of the envelope: what is left beside gates and pitch
_COARSE = 14  # cosines of the envelope that the first codebook sees
_PATCH = STEPS * COSINES
_PATTERNS = 2**GATES - 1  # of gates, where anything is voiced
_UTTERANCES = 2000  # to fit on
_ITERATIONS = 12


@dataclass(frozen=True, slots=True)
class Quantizer:
    """Projections are [STEPS * COSINES, SHAPES] and applied to an envelope less `mean`; `tables` [GROUPS, CODEBOOK,
    WIDTH]."""

    mean: Tensor
    semantic: Tensor
    acoustic: Tensor
    tables: Tensor
    synthesis: Tensor  # [2 * SHAPES, STEPS * COSINES]: sums of entries of both kinds -> envelope, by least squares

    @classmethod
    def load(cls, path: Path) -> "Quantizer":
        """As saved."""
        return cls(**load_file(path))

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        save_file({name: getattr(self, name).contiguous() for name in self.__dataclass_fields__}, path)

    def latents(self, sound: Sound) -> Tensor:
        """[frames] of sound -> what is quantised [2, frames, WIDTH]: semantic, acoustic."""
        centred = sound.envelope.flatten(1) - self.mean
        coarse = centred @ self.semantic
        voice = self.tables[1][pitch_codes(sound)][:, SHAPES:]
        return torch.stack(
            (torch.cat((coarse, torch.zeros_like(voice)), dim=1), torch.cat((centred @ self.acoustic, voice), dim=1))
        )

    def encode(self, latents: Tensor) -> Tensor:
        """[2, frames, WIDTH] -> codes int64 [frames, GROUPS]."""
        semantic, _ = quantized(latents[0], self.tables[:1])
        acoustic, _ = quantized(latents[1], self.tables[1:])
        return torch.cat((semantic, acoustic), dim=1)

    def codes(self, sound: Sound) -> Tensor:
        """Of [frames] of sound: int64 [frames, GROUPS]."""
        return self.encode(self.latents(sound))

    def entries(self, codes: Tensor) -> Tensor:
        """What the tables hold of envelopes: [..., 2 * SHAPES], sums of both kinds."""
        chosen = [table[codes[..., group], :SHAPES] for group, table in enumerate(self.tables)]
        return torch.cat((chosen[0], torch.stack(chosen[1:]).sum(0)), dim=-1)

    def decode(self, codes: Tensor) -> Sound:
        """Codes [..., frames, GROUPS] -> what they sound like."""
        envelope = (self.entries(codes) @ self.synthesis + self.mean).unflatten(-1, (STEPS, COSINES))
        voiced = codes[..., 1] > 0
        number = (codes[..., 1] - 1).clamp(0, _PITCHES * _PATTERNS - 1)
        pattern = torch.where(voiced, number % _PATTERNS + 1, 0)
        periods = torch.where(voiced, number // _PATTERNS + PERIODS[0], 0)
        return Sound(envelope, periods, (pattern[..., None] >> torch.arange(GATES)) % 2 > 0)


def pitch_codes(sound: Sound) -> Tensor:
    """Codes 1: int64 [frames]. 0 is unvoiced."""
    pattern = (sound.gates * 2 ** torch.arange(GATES)).sum(-1)
    number = 1 + (sound.periods - PERIODS[0]).clamp(min=0) * _PATTERNS + pattern - 1
    return torch.where(pattern > 0, number, 0)


def pitch_table() -> Tensor:
    """Entries of the second codebook: gates, and which pitch it is. Those at the end are as the first, and not used."""
    table = torch.zeros(CODEBOOK, WIDTH)
    for code in range(1, 1 + _PITCHES * _PATTERNS):
        pattern, pitch = (code - 1) % _PATTERNS + 1, (code - 1) // _PATTERNS
        table[code, SHAPES : SHAPES + GATES] = torch.tensor([pattern >> part & 1 for part in range(GATES)]).float()
        table[code, SHAPES + GATES + pitch] = 1
    return table


def nearest(points: Tensor, table: Tensor) -> Tensor:
    """Index of the entry nearest to each point: int64 [points]."""
    return (table.square().sum(1) - 2 * points @ table.T).argmin(1)


def quantized(points: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """Residual quantisation: codes [points, tables] and what remains [points, width]."""
    codes: list[Tensor] = []
    for table in tables:
        codes.append(nearest(points, table))
        points = points - table[codes[-1]]
    return torch.stack(codes, dim=1), points


def fit_table(points: Tensor, entries: int, generator: torch.Generator) -> Tensor:
    """k-means: [entries, width]. Entries that nothing is nearest to move to random points."""
    table = points[torch.randperm(len(points), generator=generator)[:entries]].clone()
    for _ in range(_ITERATIONS):
        chosen = nearest(points, table)
        count = torch.bincount(chosen, minlength=entries)[:, None]
        total = torch.zeros_like(table).index_add_(0, chosen, points)
        strays = points[torch.randint(len(points), (entries,), generator=generator)]
        table = torch.where(count > 0, total / count.clamp(min=1), strays)
    return table


def principal(points: Tensor, width: int) -> Tensor:
    """Directions of greatest variance of centred points: [dimensions, width]."""
    _, directions = torch.linalg.eigh(points.T @ points / len(points))
    return directions.flip(1)[:, :width]


def fit(sound: Sound, seed: int) -> Quantizer:
    """Fit to frames."""
    generator = torch.Generator().manual_seed(seed)
    patch = sound.envelope.flatten(1)
    mean = patch.mean(0)
    centred = patch - mean
    seen = (torch.arange(_PATCH) % COSINES < _COARSE).float()  # by the first codebook
    semantic = seen[:, None] * principal(centred * seen, SHAPES)
    acoustic = principal(centred, SHAPES)
    coarse, remaining = centred @ semantic, centred @ acoustic
    whole, beside = remaining.square().sum(), (0, WIDTH - SHAPES)
    tables = [torch.nn.functional.pad(fit_table(coarse, CODEBOOK, generator), beside), pitch_table()]
    for _ in range(GROUPS - 2):
        table = fit_table(remaining, CODEBOOK, generator)
        _, remaining = quantized(remaining, table[None])
        tables.append(torch.nn.functional.pad(table, beside))
        left = math.sqrt(remaining.square().sum() / whole)
        sys.stdout.write(f"codebook {len(tables)}: {left:.3f} of the deviation is left\n")
    quantizer = Quantizer(mean, semantic, acoustic, torch.stack(tables), torch.zeros(2 * SHAPES, _PATCH))
    entries = quantizer.entries(quantizer.codes(sound)).double()
    damping = 1e-6 * entries.square().sum() / entries.shape[1] * torch.eye(entries.shape[1])
    synthesis = torch.linalg.solve(entries.T @ entries + damping, entries.T @ centred.double()).float()
    return Quantizer(mean, semantic, acoustic, quantizer.tables, synthesis)


def aligned_speech(text: str, spoken: Spoken) -> Aligned:
    """A text said, laid along the text."""
    return aligned(text, Analysis.of(spoken.samples), spoken.sounds, spoken.end)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _aligned(work: Work, places: range) -> Iterator[Aligned]:
    corpus = Corpus(work)
    return (aligned_speech(one.text, corpus.spoken(one)) for one in map(corpus.utterances.__getitem__, places))


def _sounds(work: Work, places: range) -> list[Sound]:
    return [one.speech.sound() for one in _aligned(work, places)]


def _codes(work: Work, places: range) -> list[tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]]:
    """Codes and letters of each."""
    quantizer = Quantizer.load(work.quantizer)
    return [
        (quantizer.codes(one.speech.sound()).numpy().astype(np.int16), one.letters.astype(np.float32))
        for one in _aligned(work, places)
    ]


def joined(sounds: list[Sound]) -> Sound:
    """One after the other."""
    return Sound(*(torch.cat([getattr(one, name) for one in sounds]) for name in Sound.__dataclass_fields__))


def write_codes(work: Work, corpus: Corpus, pool: ProcessPoolExecutor) -> None:
    """Codes of all utterances, how much of the text is said in each frame, and where those of each utterance begin."""
    count, step = len(corpus.utterances), 200
    parts: list[tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]] = []
    for found in pool.map(partial(_codes, work), [range(i, min(i + step, count)) for i in range(0, count, step)]):
        parts += found
        sys.stdout.write(f"{len(parts)}/{count} utterances\n")
        sys.stdout.flush()
    codes, letters = zip(*parts, strict=True)
    np.save(work.code_offsets, np.cumsum([0, *map(len, codes)]))
    np.save(work.letters, np.concatenate(letters))
    np.save(work.codes, np.concatenate(codes))


def main() -> None:
    """The command line."""
    work = work_of(work_parser("Fit the quantiser and write the codes of the corpus").parse_args())
    corpus = Corpus(work)
    with ProcessPoolExecutor(2, initializer=_one_thread) as pool:
        if not work.quantizer.exists():
            last = len(corpus.utterances)
            places = [range(i, min(i + 100, last)) for i in range(last - _UTTERANCES, last, 100)]
            some = [one for part in pool.map(partial(_sounds, work), places) for one in part]
            fit(joined(some), SEED).save(work.quantizer)
        write_codes(work, corpus, pool)


if __name__ == "__main__":
    main()
