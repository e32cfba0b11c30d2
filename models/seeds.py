"""Random numbers as a function of (seed, frame, codebook): no state, so nothing that could be out of step."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def uniform_numbers(
    seeds: Sequence[int], frames: Sequence[int], codebooks: range, groups: int
) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1) for one frame of each sequence: [sequences, codebooks].

    SplitMix64 read as a counter: number n of a stream is mix(mix(seed) + (n + 1) * golden ratio).
    """
    start = _mix(np.asarray(seeds, dtype=np.uint64))[:, None]
    first = np.asarray(frames, dtype=np.uint64)[:, None] * np.uint64(groups)
    index = first + np.asarray(codebooks, dtype=np.uint64)[None, :] + np.uint64(1)
    return (_mix(start + index * _GOLDEN) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def derived_seed(seed: int, number: int) -> int:
    """The seed of a further attempt or passage, a function of the first one's."""
    return int(_mix(np.asarray([seed], dtype=np.uint64) + np.asarray([number], dtype=np.uint64) * _GOLDEN)[0])
