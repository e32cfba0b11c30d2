"""Missed ends of speech are noticed; real speech is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from models import InvalidRequestError
from models.engine.runaway import RunawayDetector, RunawayLimits, Verdict

LIMITS = RunawayLimits(
    base_frames=100, frames_per_token=10, suspicious_frames=6, pattern_frames=20, stationary_frames=40
)


def _speech(frames: int, seed: int = 0) -> list[list[int]]:
    return np.random.default_rng(seed).integers(0, 2048, (frames, 16)).tolist()


def _verdicts(frames: list[list[int]], tokens: int = 20) -> list[Verdict]:
    detector = RunawayDetector(LIMITS, tokens)
    return [detector.add(frame) for frame in frames]


def test_speech_of_plausible_length_is_fine() -> None:
    assert set(_verdicts(_speech(300))) == {Verdict.FINE}


def test_implausible_length_is_a_runaway() -> None:
    verdicts = _verdicts(_speech(301))
    assert verdicts[-1] is Verdict.RUNAWAY
    assert verdicts[-2] is Verdict.FINE


@pytest.mark.parametrize("period", [1, 2, 3, 4])
def test_a_repeated_pattern_is_held_back_and_then_cut(period: int) -> None:
    frames = _speech(30) + _speech(period, seed=1) * 30
    detector = RunawayDetector(LIMITS, 20)
    verdicts: list[Verdict] = []
    for frame in frames:
        verdicts.append(detector.add(frame))
        if verdicts[-1] is Verdict.RUNAWAY:
            break
    start = 30 + period
    assert verdicts[start + 4] is Verdict.FINE
    assert verdicts[start + 5] is Verdict.SUSPICIOUS, "held back before any of it is heard again and again"
    assert len(verdicts) == start + LIMITS.pattern_frames
    assert detector.tail == LIMITS.pattern_frames


def test_a_longer_period_is_no_pattern() -> None:
    assert Verdict.RUNAWAY not in _verdicts(_speech(9) * 15)


def test_a_suspicion_that_breaks_off_is_forgotten() -> None:
    verdicts = _verdicts(_speech(1) * 15 + _speech(5, seed=2))
    assert verdicts[14] is Verdict.SUSPICIOUS
    assert verdicts[15] is Verdict.FINE


def test_stationary_sound_is_known_by_code_0_alone() -> None:
    frames = _speech(60)
    for frame in frames[10:]:
        frame[0] = 7
    verdicts = _verdicts(frames)
    assert verdicts.index(Verdict.RUNAWAY) == 10 + LIMITS.stationary_frames


def test_the_shortest_pattern_is_one_frame_that_stays() -> None:
    limits = replace(LIMITS, longest_period=1)
    detector = RunawayDetector(limits, 20)
    frames = _speech(2) * 15 + _speech(1) * 30
    verdicts = [detector.add(frame) for frame in frames]
    assert Verdict.RUNAWAY not in verdicts[:30]
    assert verdicts.index(Verdict.RUNAWAY) == 30 + limits.pattern_frames


def test_limits_are_checked() -> None:
    with pytest.raises(InvalidRequestError, match=r"runaway\.pattern_frames"):
        RunawayLimits(pattern_frames=0)
