"""The split residual quantiser of mel patches, and the codes of the corpus: `python -m training.quantizer`.

As in the published codec the first codebook and the rest each quantise a projection of their own. The first one sees
the envelope of the spectrum alone, which is what is said rather than how high; the rest see the whole patch.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.corpus import Corpus
from training.mel import MELS, STEPS, patches
from training.work import SEED, Work, work_of, work_parser

GROUPS = 8
CODEBOOK = 512
WIDTH = 64  # of what is quantised
_ENVELOPE = 14  # cosines over the mel scale that make the envelope: pitch is finer than that
_UTTERANCES = 2500  # to fit on
_ITERATIONS = 15


@dataclass(frozen=True, slots=True)
class Quantizer:
    """Projections are [STEPS * MELS, WIDTH] and applied to a patch less `mean`; `tables` [GROUPS, CODEBOOK, WIDTH]."""

    mean: Tensor
    semantic: Tensor
    acoustic: Tensor
    tables: Tensor
    synthesis: Tensor  # [2 * WIDTH, STEPS * MELS]: sums of entries of both kinds -> patch, by least squares

    @classmethod
    def load(cls, path: Path) -> "Quantizer":
        """As saved."""
        return cls(**load_file(path))

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        save_file({name: getattr(self, name).contiguous() for name in self.__dataclass_fields__}, path)

    def latents(self, patch: Tensor) -> Tensor:
        """Patches [frames, STEPS * MELS] -> what is quantised [2, frames, WIDTH]: semantic, acoustic."""
        centred = patch - self.mean
        return torch.stack((centred @ self.semantic, centred @ self.acoustic))

    def encode(self, latents: Tensor) -> Tensor:
        """[2, frames, WIDTH] -> codes int64 [frames, GROUPS]."""
        semantic, _ = quantized(latents[0], self.tables[:1])
        acoustic, _ = quantized(latents[1], self.tables[1:])
        return torch.cat((semantic, acoustic), dim=1)

    def entries(self, codes: Tensor) -> Tensor:
        """Codes [frames, GROUPS] -> sums of entries [frames, 2 * WIDTH]."""
        chosen = [table[codes[:, group]] for group, table in enumerate(self.tables)]
        return torch.cat((chosen[0], torch.stack(chosen[1:]).sum(0)), dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [frames, GROUPS] -> patches [frames, STEPS * MELS]."""
        return self.entries(codes) @ self.synthesis + self.mean


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


def envelope_projection() -> Tensor:
    """Onto the slowest cosines over the mel scale, window by window: [STEPS * MELS, STEPS * _ENVELOPE]."""
    place = (torch.arange(MELS) + 0.5) * math.pi / MELS
    cosines = torch.cos(place[:, None] * torch.arange(_ENVELOPE))
    return torch.block_diag(*[cosines / cosines.norm(dim=0)] * STEPS)


def fit(patch: Tensor, seed: int) -> Quantizer:
    """Fit to patches [frames, STEPS * MELS]."""
    generator = torch.Generator().manual_seed(seed)
    mean = patch.mean(0)
    centred = patch - mean
    smooth = envelope_projection()
    semantic, acoustic = smooth @ principal(centred @ smooth, WIDTH), principal(centred, WIDTH)
    tables = [fit_table(centred @ semantic, CODEBOOK, generator)]
    remaining = centred @ acoustic
    for _ in range(GROUPS - 1):
        tables.append(fit_table(remaining, CODEBOOK, generator))
        _, remaining = quantized(remaining, tables[-1][None])
        left = math.sqrt(remaining.square().sum() / (centred @ acoustic).square().sum())
        sys.stdout.write(f"codebook {len(tables)}: {left:.3f} of the deviation is left\n")
    quantizer = Quantizer(mean, semantic, acoustic, torch.stack(tables), torch.zeros(2 * WIDTH, STEPS * MELS))
    entries = quantizer.entries(quantizer.encode(quantizer.latents(patch))).double()
    synthesis = torch.linalg.solve(entries.T @ entries, entries.T @ centred.double()).float()
    return Quantizer(mean, semantic, acoustic, quantizer.tables, synthesis)


def write_codes(work: Work, corpus: Corpus, quantizer: Quantizer) -> None:
    """Codes of all utterances; says how much of the patches they keep."""
    last = corpus.utterances[-1]
    codes = np.zeros((last.frame_offset + last.frames, GROUPS), dtype=np.int16)
    missed = total = 0.0
    for utterance in corpus.utterances:
        patch = patches(torch.from_numpy(corpus.samples(utterance)))
        found = quantizer.encode(quantizer.latents(patch))
        missed += (quantizer.decode(found) - patch).square().sum().item()
        total += (patch - quantizer.mean).square().sum().item()
        codes[utterance.frame_offset : utterance.frame_offset + utterance.frames] = found.numpy()
    np.save(work.codes, codes)
    sys.stdout.write(f"{len(codes)} frames, {math.sqrt(missed / total):.3f} of the deviation is not coded\n")


def main() -> None:
    """The command line."""
    work = work_of(work_parser("Fit the quantiser and write the codes of the corpus").parse_args())
    torch.set_num_threads(1)
    corpus = Corpus(work)
    if not work.quantizer.exists():
        some = corpus.split("train")[:_UTTERANCES]
        fit(torch.cat([patches(torch.from_numpy(corpus.samples(one))) for one in some]), SEED).save(work.quantizer)
    write_codes(work, corpus, Quantizer.load(work.quantizer))


if __name__ == "__main__":
    main()
