"""Teach the codec decoder what each frame sounds like where it is voiced: `python -m training.pretrain`.

Cosines and sines of a frame are read off linearly where the upsampling begins, which costs a fraction of the
waveform; the layers after it are then set to write out what is read there.
"""

import math
import sys

import numpy as np
import torch
from torch import Tensor, nn

from training.codec_shape import DECODER
from training.corpus import Corpus
from training.decoder_network import DecoderNetwork
from training.frame_targets import WIDTH, frame_targets
from training.pitch_from_codes import fit_pitch
from training.quantizer import Quantizer
from training.work import SAMPLES_PER_FRAME, SEED, Work, work_of, work_parser

_UTTERANCES = 3000
_LENGTH, _BATCH = 16, 64  # frames of a piece, pieces of a step
_SETTLING = 2  # frames whose past is missing
_RATE = 2e-3
_SMALL = 0.02  # what the upsampling's own layers add at the start
_REPORT = 50  # steps


def examples(work: Work, corpus: Corpus, quantizer: Quantizer, utterances: int) -> tuple[Tensor, Tensor]:
    """Codes int64 [pieces, length, groups] and what they sound like [pieces, length, WIDTH]."""
    path = work.checkpoints / f"frames-{utterances}.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    pitch, codes = fit_pitch(work, corpus, quantizer), np.load(work.codes, mmap_mode="r")
    found: list[Tensor] = []
    wanted: list[Tensor] = []
    for one in corpus.split("train")[:utterances]:
        own = torch.from_numpy(codes[one.frame_offset : one.frame_offset + one.frames].astype(np.int64))
        whole = one.frames // _LENGTH * _LENGTH
        target = frame_targets(torch.from_numpy(corpus.samples(one)), pitch.hertz(own))
        found.append(own[:whole].view(-1, _LENGTH, own.shape[1]))
        wanted.append(target[:whole].view(-1, _LENGTH, WIDTH).half())
    result = torch.cat(found), torch.cat(wanted)
    torch.save(result, path)
    return result


def pretrain(work: Work, steps: int, utterances: int) -> None:
    """Write checkpoints/front.pt."""
    torch.manual_seed(SEED)
    quantizer = Quantizer.load(work.quantizer)
    codes, wanted = examples(work, Corpus(work), quantizer, utterances)
    network, reading = DecoderNetwork(DECODER, quantizer, SEED), nn.Linear(DECODER.latent, WIDTH, bias=False)
    parameters = [*network.parameters(), *reading.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.1)
    missed: list[float] = []
    for step in range(1, steps + 1):
        chosen = torch.randint(len(codes), (_BATCH,))
        target = wanted[chosen, _SETTLING:].float()
        found = reading(network.latents(codes[chosen])[:, _SETTLING:])
        loss = (found - target).square().sum() / target.square().sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        missed.append(loss.item())
        if step % _REPORT == 0:
            sys.stdout.write(f"step {step}/{steps}: {np.sqrt(np.mean(missed)):.3f} of the deviation missed\n")
            sys.stdout.flush()
            missed.clear()
            torch.save(network.state_dict(), work.checkpoints / "front.pt")
    write_out(network, codes, wanted)
    torch.save(network.state_dict(), work.checkpoints / "front.pt")


@torch.no_grad()
def _reading(network: DecoderNetwork, codes: Tensor, wanted: Tensor) -> Tensor:
    """The best linear reading of frames off the front, as samples: [latent, samples a frame]."""
    size = DECODER.latent
    squares, products = torch.zeros(size, size), torch.zeros(size, WIDTH)
    for part, target in zip(codes.split(_BATCH), wanted.split(_BATCH), strict=True):
        held = network.latents(part)[:, _SETTLING:].reshape(-1, size)
        squares += held.T @ held
        products += held.T @ target[:, _SETTLING:].float().reshape(-1, WIDTH)
    spectra = torch.linalg.solve(squares + 1e-4 * squares.trace() / size * torch.eye(size), products)
    return torch.fft.irfft(
        torch.view_as_complex(spectra.contiguous().view(size, -1, 2)), SAMPLES_PER_FRAME, norm="ortho"
    )


def _smooth(network: DecoderNetwork) -> None:
    """Let the last upsampling interpolate, in half of its channels: random kernels have little below 4 kHz."""
    rates = DECODER.upsample_rates
    kernel = network.weight(f"decoder.decoder.{len(rates)}.block.1.conv.weight")
    half = kernel.shape[1] // 2
    kernel[:, :half] = kernel[:, :half].mean(2, keepdim=True) * torch.hann_window(kernel.shape[2] + 2)[1:-1] * 2
    last = network.weight(f"decoder.decoder.{len(rates) + 2}.conv.weight")
    last[:, :half, :-1] = 0
    last[:, half:] *= _SMALL


@torch.no_grad()
def write_out(network: DecoderNetwork, codes: Tensor, wanted: Tensor) -> None:
    """Set the upsampling layers and the first convolution to the best linear reading.

    Of the steps that a frame becomes, the first holds it and the others nothing; the taps of the convolution then are
    one map for each step, found by least squares from what the linear layers after it make of a step.
    """
    network.precision, network.lean = torch.float32, True
    ratios = DECODER.upsampling_ratios
    for number in range(len(ratios)):
        kernel = network.weight(f"decoder.upsample.{number}.0.conv.weight")
        kernel.zero_()
        kernel[:, :, 0] = torch.eye(DECODER.latent)
        network.weight(f"decoder.upsample.{number}.1.gamma").fill_(_SMALL)
    _smooth(network)
    steps = math.prod(ratios)
    impulses = torch.zeros(DECODER.decoder, 2 * steps, DECODER.decoder)
    impulses[:, 0] = torch.eye(DECODER.decoder)
    answers = network.waveform(impulses)  # [decoder, samples of two frames]
    shift = SAMPLES_PER_FRAME // steps
    system = torch.cat([answers.roll(shift * step, dims=1) for step in range(steps)]).T
    target = torch.zeros(2 * SAMPLES_PER_FRAME, DECODER.latent)
    target[:SAMPLES_PER_FRAME] = _reading(network, codes, wanted).T
    damping = 1e-4 * system.square().sum() / system.shape[1] * torch.eye(system.shape[1])
    maps = torch.linalg.solve(system.T @ system + damping, system.T @ target)
    left = (system @ maps - target).norm() / target.norm()
    sys.stdout.write(f"written out: {left:.3f} of the reading is lost\n")
    taps = network.weight("decoder.decoder.0.conv.weight")  # [decoder, latent, kernel], the last tap is the present
    taps.zero_()
    for step, part in enumerate(maps.view(steps, DECODER.decoder, DECODER.latent)):
        taps[:, :, taps.shape[2] - 1 - step] = part


def main() -> None:
    """The command line."""
    parser = work_parser("Teach the codec decoder's front")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--utterances", type=int, default=_UTTERANCES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pretrain(work_of(arguments), arguments.steps, arguments.utterances)


if __name__ == "__main__":
    main()
