"""The teacher's part of `benchmarks.quality`: `python -m training.quality_readings`. Needs espeak-ng."""

import sys

from benchmarks.quality import TEACHER, Sentence, write_sentences
from training.corpus import Corpus
from training.distance import features
from training.quantizer import Quantizer, paced_sound
from training.teacher import Teacher, say
from training.work import Work, work_of, work_parser

NARRATOR = Teacher("m3", "male", pitch=45, speed=125)  # as voices/make_presets.py


def held_out(work: Work, count: int) -> list[Sentence]:
    """Sentences that nothing was trained on, as the narrator reads them."""
    quantizer = Quantizer.load(work.quantizer)
    sentences: list[Sentence] = []
    for one in Corpus(work).split("held_out", "main")[:count]:
        spoken = say(one.text, NARRATOR)
        codes = quantizer.encode(quantizer.latents(paced_sound(one.text, spoken)))
        sentences.append(Sentence(one.text, features(spoken.samples), codes.numpy()))
    return sentences


def main() -> None:
    """The command line."""
    parser = work_parser("Let the teacher read held-out sentences")
    parser.add_argument("--sentences", type=int, default=12)
    arguments = parser.parse_args()
    write_sentences(TEACHER, held_out(work_of(arguments), arguments.sentences))
    sys.stdout.write(f"{TEACHER}: {TEACHER.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
