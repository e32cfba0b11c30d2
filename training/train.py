"""Talker, code predictor and speaker encoder from the corpus: `python -m training.train`.

Continues from its last checkpoint. The learning rate stays, then falls to zero over the last part of the time given, so
that a slower machine ends with fewer steps and not with an unfinished training. What is kept are averaged weights, and
of those the ones that do best on sentences that are not trained on.
"""

import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.examples import LONGEST, Example, Mixture, batches
from training.layout import Batch, collate
from training.material import Material, open_material
from training.pointing import point
from training.voice_network import Heard, VoiceNetwork
from training.work import SEED, Work, work_of, work_parser

_POSITIONS = 1600  # of a batch
_POOL = 400  # examples that are sorted by length at a time
_PREDICTOR_SHARE = 0.25  # of the frames
_NOISE = 0.2  # at most so many codes of an example are drawn anew where they are inputs
_PEAK, _PEAK_MATRICES = 3e-3, 8e-3  # learning rates: of tables and vectors (Adam), of layers' matrices (Muon)
_WARM = 100  # steps
_COOLING = 0.35  # of the time
_AVERAGED = 0.995  # kept of the average at each step
_LONGEST_STEP = 1.0  # norm of a gradient
_VALIDATED = 128  # examples
_DROPPED = 0.4  # of examples: most of their frames are missing as inputs
_PAUSE = 5.0  # seconds of a step beyond which the process was stopped meanwhile
_EVERY = 200  # steps between validations


def make_network(material: Material) -> VoiceNetwork:
    """Fresh weights."""
    voices = len(material.examples.voices)
    network = VoiceNetwork(material.architecture, material.shape.speaker_encoder, voices, LONGEST)
    point(network.network)
    return network


class Trainer:
    """One training and all that a checkpoint of it holds."""

    def __init__(self, material: Material, minutes: float) -> None:
        torch.manual_seed(SEED)
        self._maker = material.examples
        self._architecture = material.architecture
        self._train = material.corpus.split("train")
        self._valid = material.corpus.split("valid")
        self._seconds = 60 * minutes
        self.network = make_network(material)
        for layer in self.network.layers():
            layer.compile(dynamic=True)  # a fifth faster, once its minute of compiling has passed
        self.averaged = make_network(material)
        self.averaged.requires_grad_(False)
        self.averaged.load_state_dict(self.network.state_dict())
        matrices = list(self.network.matrices())
        known = {id(one) for one in matrices}
        others = [one for one in self.network.parameters() if id(one) not in known]
        self._optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.AdamW(others, lr=_PEAK, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
            torch.optim.Muon(matrices, lr=_PEAK_MATRICES, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        )
        self.step = 0
        self.trained = 0.0  # seconds, those before an interruption included
        self.best = float("inf")

    def state(self) -> dict[str, Any]:
        """Everything that a training goes on from."""
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [one.state_dict() for one in self._optimizers],
            "step": self.step,
            "trained": self.trained,
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.trained, self.best = state["step"], state["trained"], state["best"]

    def run(self) -> Iterator[dict[str, float]]:
        """Train; yields a report at every validation."""
        sums, counted, earlier = np.zeros(3), 0, time.monotonic()
        for batch, heard in self._batches():
            sums += self._learn(batch, heard)
            counted += 1
            self.trained, earlier = self.trained + min(_PAUSE, time.monotonic() - earlier), time.monotonic()
            if self.step % _EVERY == 0 or self.trained >= self._seconds:
                report = dict(zip(("first", "correct", "others"), (sums / counted).tolist(), strict=True))
                yield {"step": self.step, "minutes": self.trained / 60, **report, **self.validate()}
                sums, counted = np.zeros(3), 0
            if self.trained >= self._seconds:
                return

    def _batches(self) -> Iterator[tuple[Batch, Heard]]:
        """Batches from here on: those of a pool depend on the step at which it is drawn alone."""
        while True:
            generator = random.Random(f"{SEED}/{self.step}")
            numbers = np.random.default_rng((SEED, self.step))
            examples = self._maker.draw(self._train, _POOL, generator)
            for places in batches([len(one.rows.text) for one in examples], _POSITIONS, generator):
                yield self._collate([examples[place] for place in places], generator, numbers, _NOISE, _DROPPED)

    def _cooled(self) -> float:
        """1, then falling to 0 in the last part of the time."""
        return max(0.0, min(1.0, (1 - self.trained / self._seconds) / _COOLING))

    def _collate(
        self,
        examples: Sequence[Example],
        generator: random.Random,
        numbers: np.random.Generator,
        noise: float,
        dropped: float,
    ) -> tuple[Batch, Heard]:
        longest = -(-max(len(one.rows.text) for one in examples) // 16) * 16
        rows = [one.rows for one in examples]
        batch = collate(rows, self._architecture, longest, numbers, _PREDICTOR_SHARE, noise, dropped)
        return batch, self._maker.hear(examples, generator)

    def _learn(self, batch: Batch, heard: Heard) -> Any:
        factor = min(self.step / _WARM, self._cooled())
        for optimizer, peak in zip(self._optimizers, (_PEAK, _PEAK_MATRICES), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = max(1e-6, peak * factor)
            optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            losses = self.network(batch, heard)
        (losses.first + losses.others + 0.1 * losses.voice).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LONGEST_STEP)
        for optimizer in self._optimizers:
            optimizer.step()
        self.step += 1
        kept = min(_AVERAGED, 1 - 1 / self.step)
        with torch.no_grad():
            for average, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                average.lerp_(now, 1 - kept)
        return np.array([losses.first.item(), losses.correct.item(), losses.others.item()])

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Losses of the averaged weights on sentences that are not trained on."""
        generator, numbers = random.Random(SEED), np.random.default_rng(SEED)
        examples = self._maker.draw(self._valid, _VALIDATED, generator)
        sums, counted = np.zeros(3), 0
        for places in batches([len(one.rows.text) for one in examples], _POSITIONS, generator):
            batch, heard = self._collate([examples[place] for place in places], generator, numbers, 0.0, 0.0)
            with torch.autocast("cpu", torch.bfloat16):
                losses = self.averaged(batch, heard)
            frames = len(batch.targets)
            sums += frames * np.array([losses.first.item(), losses.correct.item(), losses.others.item()])
            counted += frames
        return dict(zip(("valid_first", "valid_correct", "valid_others"), (sums / counted).tolist(), strict=True))


def train(work: Work, minutes: float) -> None:
    """Train to the end; what was interrupted goes on."""
    trainer = Trainer(open_material(work, Mixture()), minutes)
    last, best = work.checkpoints / "talker.pt", work.checkpoints / "talker-best.pt"
    if last.exists():
        trainer.restore(torch.load(last))
    for report in trainer.run():
        sys.stdout.write(" ".join(f"{name} {value:.4g}" for name, value in report.items()) + "\n")
        sys.stdout.flush()
        loss = report["valid_first"] + report["valid_others"]
        if loss < trainer.best:
            trainer.best = loss
            _save(trainer.averaged.state_dict(), best)
        _save(trainer.state(), last)


def _save(state: dict[str, Any], path: Path) -> None:
    """Whole or not at all."""
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    beside.replace(path)


def main() -> None:
    """The command line."""
    parser = work_parser("Train talker, code predictor and speaker encoder")
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(work_of(arguments), arguments.minutes)


if __name__ == "__main__":
    main()
