"""Codes from logits: filters as upstream applies them, then inverse CDF at a counter-based uniform number.

A draw is a function of (logits, settings, uniform number), and a uniform number one of (seed, frame, codebook): so a
seed gives the same codes alone, in any batch, after a restart, and on any backend with the same logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import Architecture
from models.request import SamplingSettings


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """Settings of one codebook's draw, one row a sequence."""

    temperature: Tensor  # float32 [rows]; 0: the most likely code
    top_k: Tensor  # int64 [rows]; 0: off
    top_p: Tensor  # float32 [rows]; 1: off

    @classmethod
    def talker(cls, settings: Sequence[SamplingSettings]) -> "SamplingRows":
        """Rows for code 0."""
        return cls._stack([(s.temperature, s.top_k, s.top_p) for s in settings])

    @classmethod
    def predictor(cls, settings: Sequence[SamplingSettings]) -> "SamplingRows":
        """Rows for codes 1..15."""
        return cls._stack([(s.predictor_temperature, s.predictor_top_k, s.predictor_top_p) for s in settings])

    @classmethod
    def _stack(cls, rows: Sequence[tuple[float, int, float]]) -> "SamplingRows":
        temperature, top_k, top_p = zip(*rows, strict=True)
        return cls(
            torch.tensor(temperature, dtype=torch.float32),
            torch.tensor(top_k, dtype=torch.int64),
            torch.tensor(top_p, dtype=torch.float32),
        )


def sample(logits: Tensor, uniforms: Tensor, rows: SamplingRows) -> Tensor:
    """One code a row: logits float32 [rows, vocabulary], uniforms float64 [rows] -> int64 [rows].

    Temperature, top-k and top-p in that order, as in transformers' generation; then the smallest index whose
    cumulative probability, summed in index order in float64, exceeds the uniform number.
    """
    greedy = logits.argmax(dim=-1)
    if not bool(rows.temperature.any()):
        return greedy
    temperature = torch.where(rows.temperature == 0, 1.0, rows.temperature)
    scores = _keep_top_p(_keep_top_k(logits / temperature[:, None], rows.top_k), rows.top_p)
    cumulative = torch.softmax(scores.double(), dim=-1).cumsum(dim=-1)
    target = uniforms * cumulative[:, -1]
    drawn = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]
    # Rounding can put the target at the total itself; the last code that has any probability is then meant.
    last = (cumulative < cumulative[:, -1:]).sum(dim=-1)
    return torch.where(rows.temperature == 0, greedy, torch.minimum(drawn, last))


def _keep_top_k(scores: Tensor, top_k: Tensor) -> Tensor:
    """Drop what is below the k-th largest score of its row."""
    vocabulary = scores.shape[-1]
    wanted = torch.where(top_k == 0, vocabulary, top_k.clamp(max=vocabulary))
    largest = int(wanted.max())
    if largest == vocabulary and bool((wanted == vocabulary).all()):
        return scores
    threshold = scores.topk(largest, dim=-1).values.gather(1, wanted[:, None] - 1)
    return scores.masked_fill(scores < threshold, -torch.inf)


def _keep_top_p(scores: Tensor, top_p: Tensor) -> Tensor:
    """Drop the least likely codes whose joint probability is at most 1 - top_p; the most likely one always stays."""
    if bool((top_p >= 1).all()):
        return scores
    ascending, order = scores.sort(dim=-1, stable=True)
    dropped = ascending.softmax(dim=-1).cumsum(dim=-1) <= (1 - top_p)[:, None]
    dropped[:, -1] = False
    dropped &= (top_p < 1)[:, None]
    return scores.masked_fill(dropped.scatter(1, order, dropped), -torch.inf)


class CodeZeroRules:
    """What upstream does to the talker's logits before a code is drawn: repetition penalty, a minimum length, and
    the ids at the end of the codec vocabulary that are no codes."""

    RESERVED = 1024  # ids at the end of the codec vocabulary that are never spoken, end of speech excepted
    MINIMUM_FRAMES = 2

    def __init__(self, architecture: Architecture) -> None:
        vocabulary = architecture.talker.vocabulary
        self.eos = architecture.tokens.eos
        self.suppressed = torch.zeros(vocabulary, dtype=torch.bool)
        self.suppressed[max(0, vocabulary - self.RESERVED) :] = True
        self.suppressed[self.eos] = False

    def apply(self, logits: Tensor, seen: Tensor, penalty: Tensor, frames: Tensor) -> Tensor:
        """Logits float32 [rows, vocabulary] as they are drawn from.

        seen bool [rows, vocabulary]: codes drawn so far; penalty float32 [rows]; frames int64 [rows]: codes drawn.
        """
        penalised = torch.where(logits < 0, logits * penalty[:, None], logits / penalty[:, None])
        logits = torch.where(seen, penalised, logits)
        logits[:, self.eos].masked_fill_(frames < self.MINIMUM_FRAMES, -torch.inf)
        return logits.masked_fill_(self.suppressed, -torch.inf)
