"""What the codec decoder is taught to say."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.anchored import anchored, pulses, spectrum
from training.pitch import median_pitch
from training.spectral_loss import distance
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

FRAMES = 12


def _buzz(hertz: float) -> Tensor:
    time = torch.arange(FRAMES * SAMPLES_PER_FRAME) / SAMPLE_RATE
    harmonics = [(2 * torch.pi * hertz * number * time).sin() / number for number in range(1, 30)]
    return 0.1 * torch.stack(harmonics).sum(0)[None]


def test_every_frame_begins_with_a_pulse() -> None:
    train = pulses(torch.tensor([[104.0, 104.0, 190.0]])).view(3, SAMPLES_PER_FRAME)
    assert torch.equal(train[0], train[1])
    assert train.argmax(dim=1).tolist() == [0, 0, 0]
    peaks = (train > 0.9 * train.max(dim=1, keepdim=True).values).int().diff(dim=1).clamp(min=0).sum(dim=1) + 1
    assert peaks.tolist() == [8, 8, 15]


@pytest.mark.parametrize(
    ("own", "codes", "heard"), [(104.0, 104.0, 100.0), (104.0, 120.0, 125.0), (210.0, 215.0, 212.5)]
)
def test_the_pitch_is_the_codes(own: float, codes: float, heard: float) -> None:
    samples = _buzz(own)
    made, gate = anchored(samples, torch.full((1, FRAMES), codes))
    assert gate.mean() > 0.9
    assert median_pitch(made[0].numpy(), SAMPLE_RATE) == pytest.approx(heard, rel=0.02)
    assert 0.7 < (made.std() / samples.std()).item() < 1.4


def test_what_has_no_pitch_stays() -> None:
    noise = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((1, FRAMES * SAMPLES_PER_FRAME)))
    noise = noise.float()
    made, gate = anchored(noise, torch.full((1, FRAMES), 100.0))
    assert gate.max() == 0
    assert (made - noise)[:, 500:-500].abs().max() < 1e-4


def test_losses_see_phases_and_do_not() -> None:
    buzz = _buzz(100.0)
    gate = torch.ones(1, spectrum(buzz).shape[2])
    shifted = buzz.roll(60, dims=1)
    same, other = distance(buzz, buzz, gate), distance(shifted, buzz, gate)
    assert same.phases < 1e-2
    assert other.phases > 1
    assert other.mel < 0.1 * distance(0 * buzz, buzz, gate).mel
    assert distance(shifted, buzz, 0 * gate).phases == 0
