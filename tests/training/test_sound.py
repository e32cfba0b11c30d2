"""Speech as envelope, pitch and gates, and back."""

import numpy as np
import pytest
import torch

from training.mel import log_mel
from training.pitch import median_pitch
from training.sound import COSINES, GATES, Analysis, Sound, cosines, synthesised
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

FRAMES = 10


def buzz(hertz: float) -> np.ndarray:
    time = np.arange(FRAMES * SAMPLES_PER_FRAME) / SAMPLE_RATE
    waves = [np.sin(2 * np.pi * hertz * harmonic * time) / harmonic for harmonic in range(1, 12)]
    return (0.1 * np.sum(waves, axis=0)).astype(np.float32)


def batched(sound: Sound) -> Sound:
    return Sound(sound.envelope[None], sound.periods[None], sound.gates[None])


@pytest.mark.parametrize("hertz", [87.5, 125.0, 200.0, 300.0])
def test_a_buzz_keeps_pitch_and_envelope(hertz: float) -> None:
    sound = Analysis.of(buzz(hertz)).sound()
    assert sound.periods[1:-1].tolist() == [round(hertz * 0.08)] * (FRAMES - 2)
    assert sound.gates[1:-1].all()
    made = synthesised(batched(sound))[0]
    assert median_pitch(made.numpy(), SAMPLE_RATE) == pytest.approx(hertz, rel=0.02)
    heard = (log_mel(made) @ cosines()).view_as(sound.envelope)
    wanted, found = sound.envelope[2:-2], heard[2:-2]
    assert (found - wanted).norm() < 0.15 * (wanted - wanted.mean()).norm()


def test_silence_is_silent_and_unvoiced() -> None:
    sound = Analysis.silence(FRAMES).sound()
    assert not sound.gates.any()
    assert not sound.periods.any()
    assert synthesised(batched(sound)).abs().max() < 1e-4


def test_noise_is_unvoiced_and_stays_as_loud() -> None:
    noise = 0.05 * np.random.default_rng(1).standard_normal(FRAMES * SAMPLES_PER_FRAME).astype(np.float32)
    sound = Analysis.of(noise).sound()
    assert sound.gates.float().mean() < 0.1
    made = synthesised(batched(sound))[0]
    assert 20 * np.log10(made.std().item() / noise.std()) == pytest.approx(0, abs=1.5)


def test_a_leap_of_an_octave_is_mended() -> None:
    speech = buzz(100.0)
    middle = slice(4 * SAMPLES_PER_FRAME, 4 * SAMPLES_PER_FRAME + SAMPLES_PER_FRAME // 2)
    speech[middle] = buzz(200.0)[middle]
    assert Analysis.of(speech).sound().periods[1:-1].unique().tolist() == [8]


def test_frames_are_judged_by_themselves() -> None:
    """A frame's speech depends on its numbers and the neighbours', not on where it stands."""
    sound = Analysis.of(buzz(150.0)).sound()
    part = Sound(sound.envelope[3:8], sound.periods[3:8], sound.gates[3:8])
    whole, cut = synthesised(batched(sound))[0], synthesised(batched(part))[0]
    inner = slice(5 * SAMPLES_PER_FRAME, 6 * SAMPLES_PER_FRAME)
    torch.testing.assert_close(whole[inner], cut[2 * SAMPLES_PER_FRAME : 3 * SAMPLES_PER_FRAME], atol=1e-4, rtol=1e-3)
    assert sound.envelope.shape == (FRAMES, 8, COSINES)
    assert sound.gates.shape == (FRAMES, GATES)
