"""What the finished voice can do, in figures: `python -m training.evaluate`. Needs espeak-ng and the corpus.

Readings: held-out sentences in the narrator's voice, against the teacher's own readings. Clones: voices that
were never trained on. Designs: descriptions put in ways that were never trained on.
"""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.quality import narrator, readings
from models import Samples, Sampling, SpeechEngine, SynthesisRequest, VoicePrompt, load_engine
from training.corpus import Corpus
from training.descriptions import Level, Sex, Traits, describe
from training.pitch import median_pitch
from training.quality_readings import held_out
from training.readings import say
from training.work import SAMPLE_RATE, SEED, work_of, work_parser

_ASKED: tuple[tuple[Sex, Level, Level], ...] = (
    ("male", "low", "low"),
    ("female", "high", "high"),
    ("male", "high", "high"),
    ("female", "low", "low"),
    ("male", "low", "high"),
    ("female", "high", "low"),
    ("male", "high", "low"),
    ("female", "low", "high"),
    ("male", "low", "low"),
    ("female", "high", "high"),
)


@dataclass(frozen=True, slots=True)
class Clone:
    """One voice that was never trained on."""

    variant: str
    similarity: float  # cosine of the speaker embeddings of clip and speech
    best_other: float  # the largest cosine to another voice's clip
    mean_other: float
    pitch: float  # |octaves| to the clip
    mean_other_pitch: float

    @property
    def nearer(self) -> bool:
        """To its own reference than to the others on average, in both."""
        return self.similarity > self.mean_other and self.pitch < self.mean_other_pitch


def _cosine(one: VoicePrompt, other: VoicePrompt) -> float:
    first, second = one.speaker_embedding, other.speaker_embedding
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def clones(engine: SpeechEngine, corpus: Corpus) -> list[Clone]:
    """Clips of all unseen voices, another sentence spoken with each."""
    unseen = corpus.split("held_out", "unseen")
    first = {one.variant: one for one in reversed(unseen) if one.samples > 3 * SAMPLE_RATE}
    sentences = [one.text for one in corpus.split("held_out", "main")]
    voices: list[VoicePrompt] = []
    spoken: list[tuple[VoicePrompt, float]] = []
    clips = [first[name] for name in sorted(first)]
    for number, clip in enumerate(clips):
        voice = engine.encode_voice(corpus.samples(clip), SAMPLE_RATE, None)
        text = " ".join(sentences[2 * number : 2 * number + 2])
        samples, _ = say(engine, SynthesisRequest(text, voice=voice, sampling=Sampling(seed=number)))
        voices.append(voice)
        spoken.append((engine.encode_voice(samples, SAMPLE_RATE, None), median_pitch(samples, SAMPLE_RATE)))
    pitches = np.log2([max(clip.median_pitch, 1.0) for clip in clips])
    judged: list[Clone] = []
    for number, (heard, pitch) in enumerate(spoken):
        cosines = np.array([_cosine(heard, voice) for voice in voices])
        far = np.abs(np.log2(max(pitch, 1.0)) - pitches)
        rest = np.arange(len(clips)) != number
        found = (cosines[number], cosines[rest].max(), cosines[rest].mean(), far[number], far[rest].mean())
        judged.append(Clone(clips[number].variant, *map(float, found)))
    return judged


@dataclass(frozen=True, slots=True)
class Design:
    """One description, and the same sex without any extreme beside it."""

    description: str
    traits: Traits
    pitch: float  # hertz
    pace: float  # words a minute
    plain_pitch: float
    plain_pace: float
    other_sex_pitch: float  # of the other sex, plain

    @property
    def moved(self) -> dict[str, bool]:
        """Which of sex, pitch and pace are as asked."""
        high, fast, woman = self.traits.pitch == "high", self.traits.pace == "high", self.traits.sex == "female"
        return {
            "sex": (self.plain_pitch > self.other_sex_pitch) == woman,
            "pitch": self.pitch != self.plain_pitch and (self.pitch > self.plain_pitch) == high,
            "pace": self.pace != self.plain_pace and (self.pace > self.plain_pace) == fast,
        }


def _heard(engine: SpeechEngine, description: str, sentences: Sequence[str], seed: int) -> tuple[float, float]:
    """Hertz, the mean of the sentences' median pitches (each is in steps of the codec's), and words a minute."""
    spoken: list[Samples] = []
    for number, text in enumerate(sentences):
        sampling = Sampling(seed=seed + number)
        samples, _ = say(engine, SynthesisRequest(text, description=description, sampling=sampling))
        spoken.append(samples)
    words, seconds = sum(len(text.split()) for text in sentences), sum(map(len, spoken)) / SAMPLE_RATE
    pitch = float(np.mean([median_pitch(samples, SAMPLE_RATE) for samples in spoken]))
    return pitch, 60 * words / max(seconds, 0.1)


def designs(engine: SpeechEngine, corpus: Corpus, sentences: int = 6) -> list[Design]:
    """Descriptions in held-out wordings, and plain ones of both sexes to compare with."""
    generator = random.Random(SEED)
    texts = [one.text for one in corpus.split("held_out", "main")[:sentences]]
    plain = {
        sex: _heard(engine, describe(Traits(sex, "middle", "middle"), generator, held_out=True), texts, 100)
        for sex in ("male", "female")
    }
    judged: list[Design] = []
    for sex, pitch, pace in _ASKED:
        traits = Traits(sex, pitch, pace)
        description = describe(traits, generator, held_out=True)
        heard = _heard(engine, description, texts, 200)
        other = plain["female" if sex == "male" else "male"]
        judged.append(Design(description, traits, *heard, *plain[sex], other[0]))
    return judged


def main() -> None:
    """The command line."""
    parser = work_parser("Measure the voice")
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--base", default="embedded:base")
    parser.add_argument("--design", default="embedded:voice_design")
    parser.add_argument("--precision", default="bf16")
    arguments = parser.parse_args()
    work = work_of(arguments)
    corpus = Corpus(work)
    base = load_engine(arguments.base, arguments.precision)
    summary = readings(base, narrator(base), held_out(work, arguments.sentences))
    sys.stdout.write(f"ratio {summary.ratio:.3f}, of cepstra {summary.cepstral_ratio:.3f}: {summary}\n")
    cloned = clones(base, corpus)
    base.close()
    for clone in cloned:
        sys.stdout.write(f"{clone} nearer {clone.nearer}\n")
    design = load_engine(arguments.design, arguments.precision)
    designed = designs(design, corpus)
    design.close()
    for one in designed:
        sys.stdout.write(f"{one} moved {one.moved}\n")
    sys.stdout.write(f"clones nearer to their own clip: {sum(one.nearer for one in cloned)} of {len(cloned)}\n")
    for trait in ("sex", "pitch", "pace"):
        count = sum(one.moved[trait] for one in designed)
        sys.stdout.write(f"descriptions whose {trait} was followed: {count} of {len(designed)}\n")


if __name__ == "__main__":
    main()
