"""Train the codec encoder to find what the quantiser sees: `python -m training.encoder`."""

import sys
import time

import numpy as np
import torch
from torch import Tensor

from training.checkpoint import Checkpoint
from training.codec_shape import ENCODER
from training.corpus import Corpus
from training.encoder_network import EncoderNetwork
from training.mel import log_mel
from training.quantizer import Quantizer
from training.schedule import rate
from training.work import SAMPLES_PER_FRAME, SEED, Work, work_of, work_parser

_FRAMES = 80  # of a batch
_LENGTHS = (16, 80)  # frames of one piece
_LOUDER = 1.2  # reference audio may be this much louder or softer than the teacher; its codes are not
_RATE = 2e-3
_REPORT = 20  # steps


class Pieces:
    """Random pieces of training utterances."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._utterances = corpus.split("train")

    def batch(self, generator: np.random.Generator) -> Tensor:
        """Samples [batch, frames * samples a frame]."""
        frames = int(generator.integers(_LENGTHS[0], _LENGTHS[1] + 1))
        return torch.stack([self._piece(frames, generator) for _ in range(_FRAMES // frames)])

    def _piece(self, frames: int, generator: np.random.Generator) -> Tensor:
        while True:
            one = self._utterances[int(generator.integers(len(self._utterances)))]
            if one.frames >= frames:
                start = int(generator.integers(one.frames - frames + 1)) * SAMPLES_PER_FRAME
                return torch.from_numpy(self._corpus.samples(one)[start : start + frames * SAMPLES_PER_FRAME])


def targets(quantizer: Quantizer, samples: Tensor) -> Tensor:
    """Samples [batch, samples] -> what is quantised [2, batch, frames, width]."""
    patch = log_mel(samples).reshape(len(samples), -1, len(quantizer.mean))
    return quantizer.latents(patch)


def _step(
    network: EncoderNetwork, optimizer: torch.optim.Optimizer, samples: Tensor, wanted: Tensor, gains: Tensor
) -> Tensor:
    """Share of the variance missed: [semantic, acoustic]."""
    found = network(samples * gains)
    missed = (found - wanted).square().sum((1, 2, 3)) / wanted.square().sum((1, 2, 3))
    optimizer.zero_grad(set_to_none=True)
    missed.sum().backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return missed.detach()


def train(work: Work, steps: int) -> None:
    """Up to `steps` steps in all, from the last checkpoint on."""
    quantizer = Quantizer.load(work.quantizer)
    network = EncoderNetwork(ENCODER, quantizer, SEED)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    checkpoint = Checkpoint(work.checkpoints / "encoder.pt", network, optimizer)
    first = checkpoint.load()
    pieces, generator = Pieces(Corpus(work)), np.random.default_rng([SEED, first])
    begun, reports = time.monotonic(), list[Tensor]()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * rate(step, steps)
        samples = pieces.batch(generator)
        gains = torch.from_numpy(_LOUDER ** generator.uniform(-1, 1, (len(samples), 1)).astype(np.float32))
        reports.append(_step(network, optimizer, samples, targets(quantizer, samples), gains))
        if (step + 1) % _REPORT == 0:
            semantic, acoustic = torch.stack(reports).mean(0).sqrt().tolist()
            pace = (time.monotonic() - begun) / (step + 1 - first)
            report = f"deviation missed: semantic {semantic:.3f}, acoustic {acoustic:.3f}, {pace:.2f} s a step"
            sys.stdout.write(f"step {step + 1}/{steps}: {report}\n")
            sys.stdout.flush()
            reports.clear()
            checkpoint.save(step + 1)


def main() -> None:
    """The command line."""
    parser = work_parser("Train the codec encoder")
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(work_of(arguments), arguments.steps)


if __name__ == "__main__":
    main()
