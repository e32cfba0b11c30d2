"""Places in the text as codes."""

import numpy as np

from training.place import PHASES, PLACES, moved, place_codes

LAGS = 64


def _positions(codes: np.ndarray) -> np.ndarray:
    """In tokens, of frames 1.."""
    return np.arange(1, len(codes) + 1) - codes[:, 0] + codes[:, 1] / PHASES


def test_codes_tell_where_the_next_frame_stands() -> None:
    letters, lengths = np.array([0.0, 0.5, 2.0, 3.0, 3.5]), [2, 1, 1]
    codes = place_codes(letters, lengths, LAGS)
    assert codes.shape == (5, PLACES)
    np.testing.assert_allclose(_positions(codes), [0.25, 1.0, 2.0, 2.5, 3.0])
    assert codes[0].tolist() == [1, 4]
    assert codes[-1].tolist() == [2, 0]


def test_moving_changes_the_place_and_nothing_else() -> None:
    codes = place_codes(np.arange(20) / 2, [1] * 10, LAGS)
    np.testing.assert_array_equal(moved(codes, np.zeros(20, dtype=np.int64), LAGS), codes)
    parts = np.arange(20) % 5
    np.testing.assert_allclose(_positions(moved(codes, parts, LAGS)), _positions(codes) + parts / PHASES)


def test_places_stay_within_their_codes() -> None:
    codes = moved(place_codes(np.zeros(100), [1] * 3, LAGS), np.full(100, -5), LAGS)
    assert codes[:, 0].max() == LAGS - 1
    assert codes.min() == 0
    ahead = place_codes(np.full(4, 9.0), [1] * 10, LAGS)
    assert (ahead[:, 0] == 0).all()
