"""Train the codec decoder on random pieces of the corpus: `python -m training.decoder`."""

import sys
import time

import numpy as np
import torch
from torch import Tensor

from training.checkpoint import Checkpoint
from training.codec_shape import DECODER
from training.corpus import Corpus, Utterance
from training.decoder_network import DecoderNetwork
from training.quantizer import Quantizer
from training.schedule import rate
from training.spectral_loss import spectral_loss
from training.work import SAMPLES_PER_FRAME, SEED, Work, work_of, work_parser

_BATCH = 6
_CONTEXT = 12  # frames that only the transformer sees
_FRAMES = 10  # that become samples
_SETTLING = 2  # of them, whose samples are not judged: in the middle of speech the convolutions start from nothing
_RATE = 2e-3
_REPORT = 20  # steps


class Pieces:
    """Random pieces of training utterances: codes with what went before, and the samples of the later frames."""

    def __init__(self, corpus: Corpus, work: Work) -> None:
        self._corpus = corpus
        self._codes = np.load(work.codes, mmap_mode="r")
        self._utterances = [one for one in corpus.split("train") if one.frames >= _FRAMES]

    def batch(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Codes [batch, context + frames, groups] and samples [batch, frames * samples a frame]."""
        chosen = generator.integers(len(self._utterances), size=_BATCH)
        pieces = [self._piece(self._utterances[index], generator) for index in chosen]
        codes, samples = zip(*pieces, strict=True)
        return torch.stack(codes), torch.stack(samples)

    def _piece(self, one: Utterance, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        start = int(generator.integers(one.frames - _FRAMES + 1))
        before = min(start, _CONTEXT)
        first = one.frame_offset + start
        codes = torch.from_numpy(self._codes[first - before : first + _FRAMES].astype(np.int64))
        missing = codes[:1].expand(_CONTEXT - before, -1)
        samples = self._corpus.samples(one)[start * SAMPLES_PER_FRAME : (start + _FRAMES) * SAMPLES_PER_FRAME]
        return torch.cat((missing, codes)), torch.from_numpy(samples)


def train(work: Work, steps: int) -> None:
    """Up to `steps` steps in all, from the last checkpoint on."""
    corpus = Corpus(work)
    network = DecoderNetwork(DECODER, Quantizer.load(work.quantizer), SEED)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, betas=(0.8, 0.99), weight_decay=0.0)
    checkpoint = Checkpoint(work.checkpoints / "decoder.pt", network, optimizer)
    first = checkpoint.load()
    pieces, generator = Pieces(corpus, work), np.random.default_rng([SEED, first])
    begun, mels = time.monotonic(), list[float]()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * rate(step, steps)
        mels.append(_step(network, optimizer, *pieces.batch(generator)))
        if (step + 1) % _REPORT == 0:
            pace = (time.monotonic() - begun) / (step + 1 - first)
            sys.stdout.write(f"step {step + 1}/{steps}: mel {np.mean(mels):.4f}, {pace:.2f} s a step\n")
            sys.stdout.flush()
            mels.clear()
            checkpoint.save(step + 1)


def _step(network: DecoderNetwork, optimizer: torch.optim.Optimizer, codes: Tensor, samples: Tensor) -> float:
    unjudged = _SETTLING * SAMPLES_PER_FRAME
    made = network(codes, _CONTEXT)
    loss, mel = spectral_loss(made[:, unjudged:], samples[:, unjudged:])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return mel


def main() -> None:
    """The command line."""
    parser = work_parser("Train the codec decoder")
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(work_of(arguments), arguments.steps)


if __name__ == "__main__":
    main()
