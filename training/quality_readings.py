"""The teacher's part of `benchmarks.quality`: `python -m training.quality_readings`. Needs espeak-ng."""

import sys

import numpy as np

from benchmarks.quality import TEACHER, Sentence, write_sentences
from training.corpus import Corpus
from training.distance import features
from training.place import place_codes
from training.quantizer import CODEBOOK, Quantizer, aligned_speech
from training.teacher import Teacher, say
from training.vocabulary import letters_of_tokens
from training.work import Work, work_of, work_parser
from voices.make_presets import PITCH, SPEED, VARIANT

NARRATOR = Teacher(VARIANT, "male", PITCH, SPEED)


def held_out(work: Work, count: int) -> list[Sentence]:
    """Sentences that nothing was trained on, as the narrator reads them."""
    quantizer = Quantizer.load(work.quantizer)
    sentences: list[Sentence] = []
    for one in Corpus(work).split("held_out", "main")[:count]:
        spoken = say(one.text, NARRATOR)
        laid = aligned_speech(one.text, spoken)
        places = place_codes(laid.letters, letters_of_tokens(one.text), CODEBOOK)
        codes = np.concatenate((quantizer.codes(laid.speech.sound()).numpy(), places), axis=1)
        sentences.append(Sentence(one.text, features(spoken.samples), codes))
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
