"""The distance of readings."""

import numpy as np
import pytest

from training.distance import RATE, cepstra, features, warped_distance


def _spectra(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def test_the_same_reading_slowed_down_is_as_near_as_itself() -> None:
    one = _spectra(20, 0)
    assert warped_distance(one, one) == pytest.approx(0, abs=1e-3)
    assert warped_distance(np.repeat(one, 3, axis=0), one) == pytest.approx(0, abs=1e-3)


def test_it_is_symmetric_and_another_reading_is_far() -> None:
    one, other = _spectra(20, 0), _spectra(30, 1)
    assert warped_distance(one, other) == pytest.approx(warped_distance(other, one), rel=1e-5)
    assert warped_distance(one, other) > 1


def test_a_path_is_the_best_of_all() -> None:
    """Against the definition, cell by cell."""
    one, other = _spectra(7, 2), _spectra(9, 3)
    costs = np.linalg.norm(one[:, None] - other[None], axis=2)
    best = np.full((8, 10), np.inf)
    best[0, 0] = 0
    for row in range(7):
        for column in range(9):
            cost = costs[row, column]
            best[row + 1, column + 1] = min(
                best[row, column] + 2 * cost, best[row, column + 1] + cost, best[row + 1, column] + cost
            )
    assert warped_distance(one, other) == pytest.approx(best[7, 9] / 16, rel=1e-5)


def test_cepstra_see_formants_but_neither_level_nor_harmonics() -> None:
    mels = np.arange(80)
    flat = np.zeros((1, 80), dtype=np.float32)
    formant, ripple = np.cos(mels * np.pi * 4 / 80), np.cos(mels * np.pi * 0.8)
    assert np.linalg.norm(cepstra(flat + 3)) < 1e-4
    assert np.linalg.norm(cepstra(flat + ripple)) < 0.1 * np.linalg.norm(ripple)
    assert np.linalg.norm(cepstra(flat + formant)) > 0.9 * np.linalg.norm(formant)


def test_features_have_their_rate() -> None:
    assert features(np.zeros(48000, dtype=np.float32)).shape == (2 * RATE, 80)
