"""The pitch that codes tell of: a small network from a frame's and its predecessor's codes to hertz.

The decoder's training speech is given this pitch and not the teacher's own, so that it is a function of the codes.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.corpus import Corpus, Utterance
from training.pitch import pitch_track
from training.quantizer import WIDTH, Quantizer
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME, SEED, Work

_HIDDEN = 256
_STEPS, _BATCH = 1500, 1024
_REFERENCE = 150.0  # hertz: the network tells octaves above
_LEAST_VOICED = 0.5  # of a frame, to learn its pitch


class PitchNetwork(nn.Module):
    """Sums of codebook entries of two frames [..., 4 * WIDTH] -> octaves above the reference pitch [...]."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self._quantizer = quantizer
        sizes = torch.cat([quantizer.tables[:1].std((0, 1)), quantizer.tables[1:].square().mean(1).sum(0).sqrt()])
        self._sizes = sizes.clamp(min=1e-3)
        self.layers = nn.Sequential(
            *(nn.Linear(4 * WIDTH, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, 1))
        )

    def features(self, codes: Tensor) -> Tensor:
        """Codes [frames, groups] -> [frames, 4 * WIDTH]."""
        entries = self._quantizer.entries(codes) / self._sizes
        return torch.cat((torch.cat((entries[:1], entries[:-1])), entries), dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return self.layers(features)[..., 0]

    def hertz(self, codes: Tensor) -> Tensor:
        """Codes [frames, groups] -> [frames]."""
        with torch.inference_mode():
            return _REFERENCE * torch.exp2(self(self.features(codes)))


def frame_pitch(corpus: Corpus, one: Utterance) -> tuple[Tensor, Tensor]:
    """Median pitch in hertz of each frame's voiced windows, and the share of windows that are: [frames] each."""
    track = pitch_track(corpus.samples(one), SAMPLE_RATE, SAMPLES_PER_FRAME // 4).reshape(one.frames, 4)
    voiced = (track > 0).mean(axis=1)
    hertz = np.array([np.median(row[row > 0]) if row.any() else 0.0 for row in track], dtype=np.float32)
    return torch.from_numpy(hertz), torch.from_numpy(voiced)


def fit_pitch(work: Work, corpus: Corpus, quantizer: Quantizer, utterances: int = 700) -> PitchNetwork:
    """Fit on training utterances, or load what was fitted before."""
    torch.manual_seed(SEED)
    network, path = PitchNetwork(quantizer), work.checkpoints / "pitch.pt"
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
        return network
    features, wanted = _examples(work, corpus, network, utterances)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        chosen = torch.randint(len(features), (_BATCH,))
        loss = (network(features[chosen]) - wanted[chosen]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    _save(network, path)
    return network


def _save(network: PitchNetwork, path: Path) -> None:
    torch.save(network.state_dict(), path)


def _examples(work: Work, corpus: Corpus, network: PitchNetwork, utterances: int) -> tuple[Tensor, Tensor]:
    codes = np.load(work.codes, mmap_mode="r")
    features: list[Tensor] = []
    wanted: list[Tensor] = []
    for one in corpus.split("train")[:utterances]:
        own = torch.from_numpy(codes[one.frame_offset : one.frame_offset + one.frames].astype(np.int64))
        hertz, voiced = frame_pitch(corpus, one)
        kept = voiced >= _LEAST_VOICED
        features.append(network.features(own)[kept])
        wanted.append((hertz[kept] / _REFERENCE).log2())
    return torch.cat(features), torch.cat(wanted)
