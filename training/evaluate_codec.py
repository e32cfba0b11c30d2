"""What the codec alone costs, on sentences and voices it was not trained on: `python -m training.evaluate_codec`."""

import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.codec import CodecDecoder
from models.storage import open_tensors
from training.codec_shape import DECODER
from training.corpus import Corpus, Utterance
from training.mel import MELS, log_mel
from training.place import PLACES
from training.quantizer import Quantizer
from training.sound import Analysis, Sound, synthesised
from training.teacher import Role
from training.work import SAMPLES_PER_FRAME, Work, work_of, work_parser

_JOINED = 2  # windows of 10 ms that become one before they are compared
_EDGE = 2  # samples around the seam between two frames


def distance(one: Tensor, other: Tensor) -> float:
    """Mean Euclidean distance of log-mel spectra every 20 ms: samples of equal length."""
    joined = [log_mel(samples).reshape(-1, _JOINED, MELS).mean(1) for samples in (one, other)]
    return (joined[0] - joined[1]).norm(dim=1).mean().item()


def seam_ratio(samples: Tensor) -> float:
    """How much rougher (in second differences) samples are at the seams of frames than elsewhere: 1 is no seam."""
    rough = samples.diff(n=2).abs()
    places = torch.arange(len(rough)) % SAMPLES_PER_FRAME
    seam = (places < _EDGE) | (places >= SAMPLES_PER_FRAME - 2 - _EDGE)
    return (rough[seam].mean() / rough[~seam].mean()).item()


@dataclass(frozen=True, slots=True)
class Codec:
    """The decoder as the package runs it, float32, and the quantiser it was trained for."""

    decoder: CodecDecoder
    quantizer: Quantizer

    @classmethod
    def open(cls, work: Work) -> "Codec":
        """What is in the work folder."""
        source = open_tensors(work.speech_tokenizer).tensor
        return cls(CodecDecoder(DECODER, source, torch.float32), Quantizer.load(work.quantizer))

    def speak(self, codes: Tensor) -> Tensor:
        """Codes of sound [frames, groups] -> samples."""
        whole = F.pad(codes, (0, PLACES))[None]
        return self.decoder.decode(whole, self.decoder.fresh(1), torch.zeros(1, dtype=torch.int64))[0]

    def judge(self, samples: Tensor) -> dict[str, float]:
        """Figures of one utterance at its own pace."""
        sound = Analysis.of(samples.numpy()).sound()
        codes = self.quantizer.codes(sound)
        spoken = self.speak(codes)
        return {
            "envelope and pitch": distance(_heard(sound), samples),
            "codes, without decoder": distance(_heard(self.quantizer.decode(codes)), samples),
            "decoder": distance(spoken, samples),
            "level against original, dB": (20 * (spoken.std() / samples.std()).log10()).item(),
            "peak": spoken.abs().max().item(),
            "seams": seam_ratio(spoken),
            "seams of original": seam_ratio(samples),
        }


def _heard(sound: Sound) -> Tensor:
    return synthesised(Sound(sound.envelope[None], sound.periods[None], sound.gates[None]))[0]


def _report(title: str, rows: list[dict[str, float]]) -> None:
    sys.stdout.write(f"{title} ({len(rows)} utterances)\n")
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        low, high = np.quantile(values, [0.05, 0.95])
        sys.stdout.write(f"  {name}: {values.mean():.3f} ({low:.3f} to {high:.3f})\n")


def _strangers(corpus: Corpus, utterances: list[Utterance]) -> float:
    """Distance between different sentences of equal length, unwarped, for comparison."""
    spoken = [torch.from_numpy(corpus.samples(one)) for one in utterances]
    pairs = [(one[: len(other)], other[: len(one)]) for one, other in pairwise(spoken)]
    return float(np.mean([distance(one, other) for one, other in pairs]))


@torch.inference_mode()
def evaluate(work: Work, count: int) -> None:
    """Print figures for `count` held-out sentences each of known and of unseen voices."""
    corpus, codec = Corpus(work), Codec.open(work)
    roles: tuple[tuple[Role, str], ...] = (("main", "known voices"), ("unseen", "unseen voices"))
    for role, title in roles:
        chosen = corpus.split("held_out", role)[:count]
        _report(f"Held-out sentences, {title}", [codec.judge(torch.from_numpy(corpus.samples(one))) for one in chosen])
        sys.stdout.write(f"  for comparison, another sentence: {_strangers(corpus, chosen):.3f}\n")


def main() -> None:
    """The command line."""
    parser = work_parser("Judge the codec alone")
    parser.add_argument("--count", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    evaluate(work_of(arguments), arguments.count)


if __name__ == "__main__":
    main()
