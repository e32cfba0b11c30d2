"""Teach the codec decoder what codes sound like: `python -m training.decoder`."""

import sys
from collections.abc import Sequence

import numpy as np
import torch

from training.checkpoint import Checkpoint
from training.codec_shape import DECODER
from training.corpus import Corpus
from training.decoder_network import DecoderNetwork
from training.lessons import Lesson, Lessons
from training.quantizer import CODEBOOK, WIDTH, Quantizer
from training.schedule import rate
from training.spectral_loss import distance
from training.work import SAMPLES_PER_FRAME, SEED, Work, work_of, work_parser

_PIECES, _FRAMES = 16, 24
_RATE, _RATE_MATRICES = 2e-3, 4e-3  # learning rates: of convolutions and vectors (Adam), of matrices (Muon)
_REPORT = 25  # steps


def train(work: Work, steps: int) -> None:
    """Up to `steps` steps in all, from the last checkpoint on."""
    torch.manual_seed(SEED)
    quantizer = Quantizer.load(work.quantizer)
    network = DecoderNetwork(DECODER, quantizer, SEED)
    matrices = [one for one in network.parameters() if one.dim() == 2 and one.shape != (CODEBOOK, WIDTH)]
    others = [one for one in network.parameters() if all(one is not matrix for matrix in matrices)]
    optimizers: tuple[torch.optim.Optimizer, ...] = (
        torch.optim.AdamW(others, lr=_RATE, betas=(0.9, 0.98), weight_decay=0.01),
        torch.optim.Muon(matrices, lr=_RATE_MATRICES, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
    )
    checkpoint = Checkpoint(work.checkpoints / "decoder.pt", network, *optimizers)
    first = checkpoint.load()
    lessons, generator = Lessons(Corpus(work), quantizer, _PIECES, _FRAMES), np.random.default_rng([SEED, first])
    reports: list[tuple[float, float]] = []
    for step in range(first, steps):
        for optimizer, highest in zip(optimizers, (_RATE, _RATE_MATRICES), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = highest * rate(step, steps)
        reports.append(learn(network, optimizers, lessons.draw(generator)))
        if (step + 1) % _REPORT == 0:
            mel, missed = np.mean(reports, axis=0)
            sys.stdout.write(f"step {step + 1}/{steps}: mel {mel:.4f}, missed {missed:.4f}\n")
            sys.stdout.flush()
            reports.clear()
            checkpoint.save(step + 1)


def learn(network: DecoderNetwork, optimizers: Sequence[torch.optim.Optimizer], lesson: Lesson) -> tuple[float, float]:
    """Distance of log-mels, and share of the compressed spectrum missed."""
    settled = lesson.settling * SAMPLES_PER_FRAME
    for optimizer in optimizers:
        optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        made = network(lesson.codes, lesson.context)
    missed = distance(made.float()[:, settled:], lesson.samples[:, settled:])
    missed.total.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return missed.mel, missed.missed


def main() -> None:
    """The command line."""
    parser = work_parser("Teach the codec decoder")
    parser.add_argument("--steps", type=int, default=5000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(work_of(arguments), arguments.steps)


if __name__ == "__main__":
    main()
