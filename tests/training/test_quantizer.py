"""The split residual quantiser."""

import torch

from tests.training.test_codec_networks import small_quantizer
from training.mel import STEPS
from training.quantizer import CODEBOOK, GROUPS, fit, fit_table, nearest, pitch_codes, quantized
from training.sound import COSINES, GATES, PERIODS, Sound

GENERATOR = torch.Generator().manual_seed(3)


def test_k_means_finds_the_heaps() -> None:
    heaps = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    points = heaps.repeat(200, 1) + 0.1 * torch.randn(600, 2, generator=GENERATOR)
    table = fit_table(points, 3, torch.Generator().manual_seed(1))
    distances = torch.cdist(table, heaps)
    assert sorted(distances.argmin(1).tolist()) == [0, 1, 2]
    assert distances.min(1).values.max() < 0.1


def test_each_table_quantises_what_the_ones_before_left() -> None:
    points = torch.randn(50, 4, generator=GENERATOR)
    tables = torch.randn(3, 16, 4, generator=GENERATOR)
    codes, remaining = quantized(points, tables)
    entries = sum(table[codes[:, number]] for number, table in enumerate(tables))
    torch.testing.assert_close(entries + remaining, points)
    assert torch.equal(codes[:, 0], torch.cdist(points, tables[0]).argmin(1))


def test_nearest_is_the_nearest() -> None:
    points, table = torch.randn(20, 8, generator=GENERATOR), torch.randn(CODEBOOK, 8, generator=GENERATOR)
    assert torch.equal(nearest(points, table), torch.cdist(points, table).argmin(1))


def test_pitch_and_gates_are_kept_exactly() -> None:
    generator = torch.Generator().manual_seed(4)
    frames = 600
    gates = torch.randint(0, 2, (frames, GATES), generator=generator) > 0
    periods = torch.randint(PERIODS[0], PERIODS[1] + 1, (frames,), generator=generator) * gates.any(1)
    sound = Sound(torch.randn(frames, STEPS, COSINES, generator=generator), periods, gates)
    quantizer = fit(sound, 1)
    codes = quantizer.codes(sound)
    found = quantizer.decode(codes)
    assert torch.equal(codes[:, 1], pitch_codes(sound))
    assert torch.equal(found.periods, periods)
    assert torch.equal(found.gates, gates)
    assert (found.envelope - sound.envelope).norm() < 0.8 * sound.envelope.norm()


def test_codes_of_a_batch_sound_like_those_of_its_rows() -> None:
    quantizer = small_quantizer()
    codes = torch.randint(0, CODEBOOK, (2, 3, GROUPS), generator=torch.Generator().manual_seed(2))
    whole, row = quantizer.decode(codes), quantizer.decode(codes[1])
    for name in Sound.__dataclass_fields__:
        assert torch.equal(getattr(whole, name)[1], getattr(row, name))
