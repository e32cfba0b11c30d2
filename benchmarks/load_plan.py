"""What the clients of benchmarks.server ask, and when: decided before the first request, so that no answer can slow
the next one down (an open loop)."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Pattern = Literal["steady", "burst", "slow", "leaving"]
PATTERNS: tuple[Pattern, ...] = ("steady", "burst", "slow", "leaving")
SHARES: dict[Pattern, float] = {"steady": 0.6, "burst": 0.2, "slow": 0.1, "leaving": 0.1}  # of a mixed load
BURST = 5  # requests at the same moment
SPEECH = "/v1/audio/speech"
TEXT = "The rain had stopped by the time we reached the old harbour."
DESCRIPTION = "A calm old sailor"
VOICE = "narrator_cloned"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: `at` seconds after the start."""

    at: float
    pattern: Pattern
    body: dict[str, Any]

    @property
    def seed(self) -> int:
        """Of the speech; no two asks of a plan share it."""
        return self.body["seed"]


@dataclass(frozen=True, slots=True)
class Target:
    """A model to be asked, as /api/v1/status names it."""

    model: str
    kind: str

    def body(self, seed: int, frames: int, whole: bool) -> dict[str, Any]:
        """A request of its own seed: equal ones might be answered together."""
        voiced = {"instructions": DESCRIPTION} if self.kind == "voice_design" else {"voice": VOICE}
        spoken = {"input": TEXT, "model": self.model, "seed": seed, "max_new_tokens": frames}
        return {**spoken, **voiced, "response_format": "wav" if whole else "pcm", "stream": not whole}


def poisson(random_numbers: random.Random, rate: float, seconds: float) -> Iterator[float]:
    """Moments of independent arrivals, `rate` a second on average."""
    moment = random_numbers.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += random_numbers.expovariate(rate)


def bursts(random_numbers: random.Random, rate: float, seconds: float) -> Iterator[float]:
    """The same number of arrivals in the long run, BURST at a time."""
    for moment in poisson(random_numbers, rate / BURST, seconds):
        yield from [moment] * BURST


def plan(pattern: Pattern, targets: Sequence[Target], rate: float, seconds: float, frames: int, seed: int) -> list[Ask]:
    """The asks of one client process. Every other steady one waits for the whole file; all others are streams."""
    random_numbers = random.Random(f"{pattern} {rate} {seed}")
    moments = (bursts if pattern == "burst" else poisson)(random_numbers, rate, seconds)
    asks: list[Ask] = []
    for number, moment in enumerate(moments):
        target = random_numbers.choice(targets)
        whole = pattern == "steady" and number % 2 == 1
        asks.append(Ask(moment, pattern, target.body(random_numbers.getrandbits(32), frames, whole)))
    return asks


def mixed(targets: Sequence[Target], rate: float, seconds: float, frames: int, seed: int) -> dict[Pattern, list[Ask]]:
    """All patterns at once, `rate` requests a second in all."""
    return {pattern: plan(pattern, targets, rate * share, seconds, frames, seed) for pattern, share in SHARES.items()}
