"""The split residual quantiser."""

import torch

from training.quantizer import CODEBOOK, envelope_projection, fit_table, nearest, quantized

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


def test_the_envelope_does_not_see_harmonics() -> None:
    smooth = envelope_projection()
    mels = torch.arange(80.0)
    ripple = torch.cos(mels * torch.pi * 0.8).repeat(8)
    slope = torch.cos(mels * torch.pi / 80).repeat(8)
    assert (ripple @ smooth).norm() < 0.1 * ripple.norm()
    assert (slope @ smooth).norm() > 0.9 * slope.norm()
