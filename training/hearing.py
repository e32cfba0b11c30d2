"""The speaker encoder learns to hear what the codec says as it hears the teacher: `python -m training.hearing`.

Voices are designed, auditioned and then cloned from what was auditioned, which the codec made. To an encoder that has
heard the teacher alone, that is somebody else. The talker stays as it is, so the teacher's clips keep their embeddings.
"""

import random
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from models.cloning import mel_spectrogram
from training.corpus import Corpus
from training.examples import GAIN, MELS
from training.material import Material, open_material
from training.quantizer import Quantizer
from training.schedule import rate
from training.sound import synthesised
from training.speaker import TrainedSpeakerEncoder
from training.train import make_network
from training.work import SAMPLE_RATE, SAMPLES_PER_FRAME, SEED, Work, work_of, work_parser

_CLIPS = 1500
_FRAMES = 50  # of a clip, after the first ones
_SKIPPED = 2  # frames
_STEPS = 3000
_PAIRS = 8  # a step
_PEAK = 1e-3  # learning rate
_VALIDATED = 100  # clips that are not trained on
_EVERY = 200  # steps between two reports


def _pairs(corpus: Corpus, quantizer: Quantizer, generator: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Mel spectra of the teacher's clips and of the same through the codec: [mels, mel frames] each."""
    length = _FRAMES * SAMPLES_PER_FRAME
    long = [one for one in corpus.split("train") if one.samples > length + SAMPLE_RATE]
    for one in generator.sample(long, _CLIPS):
        codes = torch.from_numpy(corpus.codes(one)[: _SKIPPED + _FRAMES + 1])
        made = synthesised(quantizer.decode(codes[None]))[0, _SKIPPED * SAMPLES_PER_FRAME :][:length]
        said = torch.from_numpy(corpus.samples(one)[:length])
        gain = 2 ** generator.uniform(*GAIN)
        yield mel_spectrogram(said * gain, MELS, SAMPLE_RATE)[0], mel_spectrogram(made * gain, MELS, SAMPLE_RATE)[0]


def _embedded(encoder: TrainedSpeakerEncoder, mels: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([encoder(part).float() for part in mels.split(50)])


def teach(encoder: TrainedSpeakerEncoder, said: Tensor, made: Tensor, steps: int = _STEPS) -> None:
    """Let clips [clips, mels, mel frames] that were made sound like those that were said, which sound as before."""
    wanted = _embedded(encoder, said)
    optimizer = torch.optim.AdamW(encoder.parameters(), weight_decay=0.0)
    for step in range(steps):
        if step % _EVERY == 0 or step == steps - 1:
            known = (_embedded(encoder, mels[:_VALIDATED]) for mels in (made, said))
            alike = [torch.cosine_similarity(one, wanted[:_VALIDATED]).mean().item() for one in known]
            sys.stdout.write(f"step {step} cosine to the teacher's: codec {alike[0]:.3f}, teacher {alike[1]:.3f}\n")
            sys.stdout.flush()
        for group in optimizer.param_groups:
            group["lr"] = _PEAK * rate(step, steps)
        drawn = torch.randint(_VALIDATED, len(said), (_PAIRS,))
        with torch.autocast("cpu", torch.bfloat16):
            heard = encoder(torch.cat((said[drawn], made[drawn])))
        loss = (heard.float() - wanted[drawn].repeat(2, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def hear(work: Work, material: Material) -> None:
    """From the best weights of the training to those that are shipped."""
    torch.manual_seed(SEED)
    network = make_network(material)
    network.load_state_dict(torch.load(work.checkpoints / "talker-best.pt"))
    with torch.no_grad():
        pairs = list(_pairs(material.corpus, Quantizer.load(work.quantizer), random.Random(SEED)))
    said, made = (torch.stack(mels) for mels in zip(*pairs, strict=True))
    teach(network.speaker_encoder, said, made)
    torch.save(network.state_dict(), work.checkpoints / "talker-heard.pt")


def main() -> None:
    """The command line."""
    work = work_of(work_parser("Let the speaker encoder hear the codec").parse_args())
    hear(work, open_material(work))


if __name__ == "__main__":
    main()
