"""What a precision costs in quality: `python -m benchmarks.quality`.

Sentences that the embedded voice was not trained on, spoken by the shipped narrator, against the teacher reading them
with the same voice: how far the sound is, how long it is, whether it ends, and how likely the teacher's codes are. The
teacher's part is in teacher.npz, which `training.quality_readings` makes.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from models import Codes, Sampling, SpeechEngine, SynthesisRequest, VoicePrompt, load_engine
from models.architecture import PRECISIONS, Precision
from models.checkpoint import open_checkpoint
from models.engine import EngineOptions
from models.language import PromptBuilder
from models.loading import load_language_model
from models.text import LayoutBuilder
from training.distance import Features
from training.readings import Reading, Summary, judge, say, summarise
from voices.library import PRESETS
from voices.reference_audio import read_reference_audio
from voices.voice_folder import REFERENCE_FILE

TEACHER = Path(__file__).with_name("teacher.npz")
_OTHERS = 4  # other sentences that a reading is compared with
_POSITIONS = 1024


@dataclass(frozen=True, slots=True)
class Sentence:
    """A held-out sentence as the teacher reads it."""

    text: str
    features: Features
    codes: Codes  # [frames, groups]


@dataclass(frozen=True, slots=True)
class Row:
    """One precision."""

    precision: Precision
    summary: Summary
    nats: float  # of the teacher's codes 0, a frame


def write_sentences(path: Path, sentences: Sequence[Sentence]) -> None:
    """Compressed."""
    features, codes = ([getattr(one, name) for one in sentences] for name in ("features", "codes"))
    np.savez_compressed(
        path,
        texts=np.array([one.text for one in sentences]),
        features=np.concatenate(features).astype(np.float16),
        feature_ends=np.cumsum([len(one) for one in features]),
        codes=np.concatenate(codes).astype(np.int16),
        code_ends=np.cumsum([len(one) for one in codes]),
    )


def read_sentences(path: Path = TEACHER) -> list[Sentence]:
    """What `write_sentences` wrote."""
    with np.load(path) as file:
        features = np.split(file["features"].astype(np.float32), file["feature_ends"][:-1])
        codes = np.split(file["codes"].astype(np.int64), file["code_ends"][:-1])
        return [Sentence(*one) for one in zip(map(str, file["texts"]), features, codes, strict=True)]


def narrator(engine: SpeechEngine) -> VoicePrompt:
    """The shipped narrator, by the speaker embedding alone."""
    clip = read_reference_audio((PRESETS / "narrator_cloned" / REFERENCE_FILE).read_bytes())
    return engine.encode_voice(clip.samples, clip.sample_rate, None)


def readings(engine: SpeechEngine, voice: VoicePrompt, sentences: Sequence[Sentence]) -> Summary:
    """Every sentence with the checkpoint's own sampling."""
    judged: list[Reading] = []
    for seed, sentence in enumerate(sentences):
        sampling = Sampling(seed=seed)
        samples, reason = say(engine, SynthesisRequest(sentence.text, voice=voice, sampling=sampling))
        others = [
            sentences[(seed + step) % len(sentences)].features
            for step in range(1, 1 + min(_OTHERS, len(sentences) - 1))
        ]
        judged.append(judge(samples, reason, sentence.features, others))
    return summarise(judged)


@torch.inference_mode()
def likelihood(
    source: str,
    precision: Precision,
    voice: VoicePrompt,
    sentences: Sequence[Sentence],
) -> float:
    """Mean negative logarithm of the probability of the teacher's codes 0, in nats a frame, the end included."""
    checkpoint = open_checkpoint(source)
    model = load_language_model(checkpoint, precision, EngineOptions(slots=1, max_positions=_POSITIONS))
    layouts = LayoutBuilder(checkpoint.architecture, checkpoint.text_tokenizer)
    prompts = PromptBuilder(checkpoint.architecture, model.talker, model.predictor)
    total, frames = 0.0, 0
    for sentence in sentences:
        prompt = prompts.build(layouts.build(SynthesisRequest(sentence.text, voice=voice)))
        codes = torch.from_numpy(sentence.codes)
        spoken = model.talker.embed_codes(codes[:, 0]) + model.predictor.embed(codes[:, 1:])
        fed = torch.cat(
            (
                prompt.prefill,
                spoken + torch.stack([prompt.text_at(frame) for frame in range(len(codes))]),
            )
        )
        hidden = model.talker.forward(fed, [0] * len(fed), list(range(len(fed))))
        logits = model.talker.logits(hidden[len(prompt.prefill) - 1 :])
        targets = torch.cat((codes[:, 0], torch.tensor([checkpoint.architecture.tokens.eos])))
        total += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        frames += len(targets)
    return total / frames


def measure(checkpoint: str, precision: Precision, sentences: Sequence[Sentence]) -> Row:
    """One row of the table."""
    engine = load_engine(checkpoint, precision)
    try:
        voice = narrator(engine)
        summary = readings(engine, voice, sentences)
    finally:
        engine.close()
    return Row(precision, summary, likelihood(checkpoint, precision, voice, sentences))


HEADS = (
    "",
    "distance",
    "to other sentences",
    "ratio",
    "of cepstra",
    "duration off by",
    "ended",
    "nats a frame",
)


def cells(row: Row) -> list[str]:
    """A row of the table as text."""
    summary = row.summary
    distances = (f"{one:.2f}" for one in (summary.own, summary.others, summary.ratio, summary.cepstral_ratio))
    ended = f"{summary.ended} of {summary.count}"
    return [
        row.precision,
        *distances,
        f"{summary.duration_error:.0%}",
        ended,
        f"{row.nats:.2f}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="embedded:base", help="a Base checkpoint, or its directory")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    arguments = parser.parse_args()
    sentences = read_sentences()
    rows = [measure(arguments.checkpoint, precision, sentences) for precision in arguments.precisions]
    for line in (HEADS, *map(cells, rows)):
        print(" | ".join(f"{cell:>18}" for cell in line))
    print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
