"""The pitch of a voice."""

import numpy as np
import pytest

from training.pitch import median_pitch

RATE = 24000


@pytest.mark.parametrize("hertz", [70, 100, 180, 300, 420])
def test_pitch_of_a_buzz(hertz: int) -> None:
    time = np.arange(RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * hertz * harmonic * time) / harmonic for harmonic in range(1, 8))
    assert median_pitch(np.asarray(buzz, dtype=np.float32), RATE) == pytest.approx(hertz, rel=0.03)


def test_noise_and_nothing_have_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert median_pitch(noise, RATE) == 0
    assert median_pitch(noise[:100], RATE) == 0
