"""What an engine measures of itself."""

import pytest

from models.engine.pace import Pace

FRAME_S = 0.08


def _pace() -> Pace:
    return Pace(slots=4, seconds_per_frame=FRAME_S, assumed_real_time_factor=0.5, assumed_frames_per_token=4.0)


def test_before_anything_was_measured_the_assumption_holds() -> None:
    pace = _pace()
    assert pace.step_seconds(4) == pytest.approx(4 * 0.5 * FRAME_S)
    assert pace.real_time_factor(1) == pace.real_time_factor(4) == pytest.approx(0.5)
    assert pace.expected_frames(10) == pytest.approx(40)


def test_a_width_not_seen_is_judged_by_its_neighbours() -> None:
    pace = _pace()
    pace.step(2, 0.03)
    assert pace.step_seconds(1) == pytest.approx(0.03), "fewer take no longer"
    assert pace.step_seconds(4) == pytest.approx(0.06), "more take no longer than in proportion"


def test_what_was_measured_lately_counts_most() -> None:
    pace = _pace()
    for _ in range(200):
        pace.step(1, 1.0)
    for _ in range(500):
        pace.step(1, 0.02)
    assert pace.step_seconds(1) == pytest.approx(0.02, rel=0.4)


def test_steps_without_a_frame_are_borne_by_the_frames() -> None:
    pace = _pace()
    pace.step(0, 0.5)
    pace.step(1, 0.1)
    pace.step(1, 0.1)
    assert pace.step_seconds(1) == pytest.approx(0.35, rel=0.01)


def test_the_length_of_speech_is_learnt() -> None:
    pace = _pace()
    for _ in range(50):
        pace.spoken(10, 100, cut=False)
    assert pace.expected_frames(5) == pytest.approx(50, rel=0.01)


def test_a_cut_utterance_says_at_least() -> None:
    pace = _pace()
    pace.spoken(10, 20, cut=True)
    assert pace.expected_frames(10) == pytest.approx(40)
    pace.spoken(10, 80, cut=True)
    assert pace.expected_frames(10) > 40
    pace.spoken(0, 80, cut=False)
