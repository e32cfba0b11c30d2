"""The decoder's front, and how what it holds is written out."""

import pytest
import torch

from tests.training.test_codec_networks import small_quantizer
from training.codec_shape import DECODER
from training.decoder_network import DecoderNetwork
from training.frame_targets import WIDTH, frame_targets
from training.pretrain import write_out
from training.quantizer import CODEBOOK, GROUPS
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME

PIECES, LENGTH, SETTLING = 64, 16, 2


def _samples(targets: torch.Tensor) -> torch.Tensor:
    spectra = torch.view_as_complex(targets.unflatten(-1, (-1, 2)).contiguous())
    return torch.fft.irfft(spectra, SAMPLES_PER_FRAME, norm="ortho").flatten(1)


def test_what_the_front_holds_becomes_samples() -> None:
    generator = torch.Generator().manual_seed(1)
    network = DecoderNetwork(DECODER, small_quantizer(), seed=1)
    codes = torch.randint(0, CODEBOOK, (PIECES, LENGTH, GROUPS), generator=generator)
    slope = 1 / (1 + torch.arange(WIDTH) / 40)  # speech is loudest below 500 Hz
    with torch.no_grad():
        wanted = network.latents(codes) @ (torch.randn(DECODER.latent, WIDTH, generator=generator) * slope)
        write_out(network, codes, wanted)
        made = network(codes[:8])
    expected = _samples(wanted[:8])
    skip = SETTLING * SAMPLES_PER_FRAME
    missed = (made - expected)[:, skip:].norm() / expected[:, skip:].norm()
    assert missed < 0.3


def test_frame_targets_hold_the_pitch_and_its_multiples_alone() -> None:
    frames, hertz = 10, 200.0
    time = torch.arange(frames * SAMPLES_PER_FRAME) / SAMPLE_RATE
    buzz = 0.1 * torch.stack([(2 * torch.pi * hertz * number * time).sin() for number in range(1, 12)]).sum(0)
    targets = frame_targets(buzz, torch.full((frames,), hertz))[3:7]
    energy = targets.view(4, -1, 2).square().sum((0, 2))
    harmonics = energy[:: int(hertz * SAMPLES_PER_FRAME / SAMPLE_RATE)].sum()
    assert harmonics / energy.sum() > 0.95
    assert _samples(targets[None])[0].std() == pytest.approx(buzz.std().item(), rel=0.3)
