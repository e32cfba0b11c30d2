"""The teacher's part of `benchmarks.quality`: `python -m training.quality_readings CHECKPOINT OUT`. Needs espeak-ng."""

import sys
from pathlib import Path

import numpy as np

from benchmarks.quality import Readings, Sentence
from models import load_engine
from training.corpus import Corpus
from training.distance import features
from training.teacher import Teacher, speak
from training.work import SAMPLE_RATE, work_of, work_parser

NARRATOR = Teacher("m3", "male", pitch=45, speed=120)
_TEXT = "The river runs quietly past the old stone bridge."
_SILENCE = 0.5  # seconds after the clip, as voices' clips have


def main() -> None:
    """The command line."""
    parser = work_parser("Let the teacher read held-out sentences")
    parser.add_argument("checkpoint", type=Path, help="a Base checkpoint, whose codec gives the codes")
    parser.add_argument("out", type=Path)
    parser.add_argument("--sentences", type=int, default=25)
    arguments = parser.parse_args()
    corpus = Corpus(work_of(arguments))
    clip = np.pad(speak(_TEXT, NARRATOR), (0, int(_SILENCE * SAMPLE_RATE)))
    engine = load_engine(arguments.checkpoint, "fp32")
    sentences: list[Sentence] = []
    for one in corpus.split("held_out", "main")[: arguments.sentences]:
        samples = speak(one.text, NARRATOR)
        codes = engine.encode_voice(samples, SAMPLE_RATE, one.text).reference_codes
        assert codes is not None
        sentences.append(Sentence(one.text, features(samples), codes))
    engine.close()
    Readings(clip, _TEXT, sentences).save(arguments.out)
    sys.stdout.write(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
