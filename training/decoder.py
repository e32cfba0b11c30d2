"""Train the codec decoder on random pieces of the corpus: `python -m training.decoder`."""

import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.anchored import anchored
from training.checkpoint import Checkpoint
from training.codec_shape import DECODER
from training.corpus import Corpus, Utterance
from training.decoder_network import DecoderNetwork
from training.mel import STEPS
from training.pitch_from_codes import PitchNetwork, fit_pitch
from training.quantizer import Quantizer
from training.schedule import rate
from training.spectral_loss import distance
from training.work import SAMPLES_PER_FRAME, SEED, Work, work_of, work_parser

_BATCH = 6
_CONTEXT = 12  # frames that only the transformer sees
_FRAMES = 10  # that become samples
_SETTLING = 2  # of them, whose samples are not judged: in the middle of speech the convolutions start from nothing
_RATE = 1e-3
_REPORT = 20  # steps


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step learns from."""

    codes: Tensor  # [batch, context + frames, groups]
    samples: Tensor  # [batch, frames * samples a frame]: what the frames are to say
    gate: Tensor  # [batch, steps]: where its phases are the codes' own


class Pieces:
    """Random pieces of training utterances: codes with what went before, and what the later frames are to say."""

    def __init__(self, corpus: Corpus, work: Work, pitch: PitchNetwork) -> None:
        self._corpus = corpus
        self._pitch = pitch
        self._codes = np.load(work.codes, mmap_mode="r")
        self._utterances = [one for one in corpus.split("train") if one.frames >= _FRAMES]

    def batch(self, generator: np.random.Generator) -> Batch:
        """A batch of random pieces."""
        chosen = generator.integers(len(self._utterances), size=_BATCH)
        pieces = [self._piece(self._utterances[index], generator) for index in chosen]
        codes, samples = zip(*pieces, strict=True)
        hertz = torch.stack([self._pitch.hertz(piece[_CONTEXT - 1 :])[1:] for piece in codes])
        wanted, gate = anchored(torch.stack(samples), hertz)
        return Batch(torch.stack(codes), wanted, gate)

    def _piece(self, one: Utterance, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        start = int(generator.integers(one.frames - _FRAMES + 1))
        before = min(start, _CONTEXT)
        first = one.frame_offset + start
        codes = torch.from_numpy(self._codes[first - before : first + _FRAMES].astype(np.int64))
        missing = codes[:1].expand(_CONTEXT - before, -1)
        samples = self._corpus.samples(one)[start * SAMPLES_PER_FRAME : (start + _FRAMES) * SAMPLES_PER_FRAME]
        return torch.cat((missing, codes)), torch.from_numpy(samples)


def train(work: Work, lean: int, steps: int) -> None:
    """Up to `steps` steps in all, from the last checkpoint on; the first `lean` ones without snakes and residual units,
    which is several times faster."""
    corpus = Corpus(work)
    quantizer = Quantizer.load(work.quantizer)
    network = DecoderNetwork(DECODER, quantizer, SEED)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, betas=(0.8, 0.99), weight_decay=0.0)
    checkpoint = Checkpoint(work.checkpoints / "decoder.pt", network, optimizer)
    first = checkpoint.load()
    if not first and (front := work.checkpoints / "front.pt").exists():
        network.load_state_dict(torch.load(front, weights_only=True))
    pieces = Pieces(corpus, work, fit_pitch(work, corpus, quantizer))
    generator = np.random.default_rng([SEED, first])
    begun, reports = time.monotonic(), list[tuple[float, float]]()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * rate(step, steps)
        network.lean = step < lean
        reports.append(_step(network, optimizer, pieces.batch(generator)))
        if (step + 1) % _REPORT == 0:
            pace = (time.monotonic() - begun) / (step + 1 - first)
            mel, phases = np.mean(reports, axis=0)
            sys.stdout.write(f"step {step + 1}/{steps}: mel {mel:.4f}, phases {phases:.4f}, {pace:.2f} s a step\n")
            sys.stdout.flush()
            reports.clear()
            checkpoint.save(step + 1)


def _step(network: DecoderNetwork, optimizer: torch.optim.Optimizer, batch: Batch) -> tuple[float, float]:
    """Distance of log-mels, and of complex spectra where phases count."""
    settled = _SETTLING * SAMPLES_PER_FRAME
    made, wanted = network(batch.codes, _CONTEXT)[:, settled:], batch.samples[:, settled:]
    missed = distance(made, wanted, batch.gate[:, _SETTLING * STEPS :])
    optimizer.zero_grad(set_to_none=True)
    missed.total.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return missed.mel, missed.phases


def main() -> None:
    """The command line."""
    parser = work_parser("Train the codec decoder")
    parser.add_argument("--lean", type=int, default=1200)
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(work_of(arguments), arguments.lean, arguments.steps)


if __name__ == "__main__":
    main()
