"""Hours of speech with their text: `python -m training.corpus`. Continues where it was interrupted."""

import json
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models import Codes
from training.alignment import Positions
from training.espeak import Sound
from training.pitch import median_pitch
from training.sentences import sentence_pool
from training.teacher import Role, Samples, Spoken, Teacher, random_teacher, say
from training.work import SAMPLE_RATE, SEED, Work, work_of, work_parser

Split = Literal["train", "valid", "held_out"]

_HELD_OUT = {"valid": 400, "held_out": 400, "unseen": 300}  # sentences that are never trained on
_MAIN_SHARE = 0.65
_SECONDS = (0.8, 12.5)  # least and most of an utterance
_STEP = 500  # utterances between two reports


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of the manifest. `offset` and `samples` count int16 samples."""

    id: int
    text: str
    language: str
    voice: str
    variant: str
    role: Role
    split: Split
    sex: str
    pitch: int
    speed: int
    median_pitch: float  # hertz
    sounds: list[Sound]
    end: float  # second at which the last sound has been said
    offset: int
    samples: int


def _read(line: str) -> Utterance:
    fields = json.loads(line)
    return Utterance(**fields | {"sounds": [Sound(*one) for one in fields["sounds"]]})


class Corpus:
    """What was spoken, to be read: all of it, and the codes of it once there are any."""

    def __init__(self, work: Work) -> None:
        lines = work.manifest.read_text(encoding="utf-8").splitlines()
        self.utterances = [_read(line) for line in lines]
        self._audio: npt.NDArray[np.int16] = np.memmap(work.audio, dtype=np.int16, mode="r")
        if work.codes.exists():
            offsets = np.load(work.code_offsets).tolist()
            self._places = {one.id: place for one, place in zip(self.utterances, pairwise(offsets), strict=True)}
            self._codes: Codes = np.load(work.codes, mmap_mode="r")
            self._letters: Positions = np.load(work.letters, mmap_mode="r")

    def split(self, split: Split, role: Role | None = None) -> list[Utterance]:
        """The utterances of a split, of one role or of all."""
        return [one for one in self.utterances if one.split == split and role in (None, one.role)]

    def samples(self, utterance: Utterance) -> Samples:
        """-1..1."""
        part = self._audio[utterance.offset : utterance.offset + utterance.samples]
        return (part / 32768).astype(np.float32)

    def spoken(self, utterance: Utterance) -> Spoken:
        """As the teacher said it."""
        return Spoken(self.samples(utterance), utterance.sounds, utterance.end)

    def codes(self, utterance: Utterance) -> Codes:
        """Of its sound: int64 [frames, groups]."""
        first, end = self._places[utterance.id]
        return self._codes[first:end].astype(np.int64)

    def letters(self, utterance: Utterance) -> Positions:
        """How much of the text has been said in each frame: float64 [frames]."""
        first, end = self._places[utterance.id]
        return self._letters[first:end].astype(np.float64)

    def frames(self, utterance: Utterance) -> int:
        """Of its codes."""
        first, end = self._places[utterance.id]
        return end - first


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be said, and how."""

    text: str
    teacher: Teacher
    role: Role
    split: Split


def _orders(sentences: list[str], seed: int) -> Iterator[_Order]:
    """Held-out sentences are the last ones of the pool and come first."""
    generator = random.Random(seed)
    pool = iter(reversed(sentences))
    for name, count in _HELD_OUT.items():
        role: Role = "unseen" if name == "unseen" else "main"
        split: Split = "valid" if name == "valid" else "held_out"
        for _ in range(count):
            yield _Order(next(pool), random_teacher(role, generator), role, split)
    for text in pool:
        role = "main" if generator.random() < _MAIN_SHARE else "varied"
        yield _Order(text, random_teacher(role, generator), role, "train")


def _carried_out(order: _Order) -> Spoken:
    return say(order.text, order.teacher)


def _utterance(number: int, order: _Order, spoken: Spoken, offset: int) -> Utterance:
    teacher = order.teacher
    return Utterance(
        id=number,
        text=order.text,
        language="english",
        voice="en-us",
        variant=teacher.variant,
        role=order.role,
        split=order.split,
        sex=teacher.sex,
        pitch=teacher.pitch,
        speed=teacher.speed,
        median_pitch=round(median_pitch(spoken.samples, SAMPLE_RATE), 1),
        sounds=[one._replace(second=round(one.second, 3)) for one in spoken.sounds],
        end=round(spoken.end, 3),
        offset=offset,
        samples=len(spoken.samples),
    )


def _done(work: Work) -> tuple[int, int]:
    """Orders carried out and samples written before an interruption: the last line written tells."""
    if not work.manifest.exists():
        return 0, 0
    lines = work.manifest.read_text(encoding="utf-8").splitlines()
    last: dict[str, Any] = json.loads(lines[-1])
    return last["id"] + 1, last["offset"] + last["samples"]


def build(work: Work, sentences: int, seed: int) -> None:
    """Speak `sentences` sentences into the work folder; utterances too short or too long are left out."""
    orders = list(_orders(sentence_pool(work.sources, sentences, seed), seed))
    first, offset = _done(work)
    with (
        work.manifest.open("a", encoding="utf-8") as manifest,
        work.audio.open("r+b" if work.audio.exists() else "w+b") as audio,
        ProcessPoolExecutor(2) as pool,
    ):
        audio.seek(2 * offset)
        for start in range(first, len(orders), _STEP):
            part = orders[start : start + _STEP]
            spoken = pool.map(_carried_out, part, chunksize=10)
            for number, (order, one) in enumerate(zip(part, spoken, strict=True), start):
                if not _SECONDS[0] <= len(one.samples) / SAMPLE_RATE <= _SECONDS[1] or not one.sounds:
                    continue
                audio.write((one.samples * 32767).astype("<i2").tobytes())
                manifest.write(json.dumps(asdict(_utterance(number, order, one, offset))) + "\n")
                offset += len(one.samples)
            audio.flush()
            manifest.flush()
            sys.stdout.write(f"{start + len(part)}/{len(orders)} sentences, {offset / SAMPLE_RATE / 3600:.2f} h\n")


def main() -> None:
    """The command line."""
    parser = work_parser("Let espeak-ng speak the corpus")
    parser.add_argument("--sentences", type=int, default=16000)
    arguments = parser.parse_args()
    build(work_of(arguments), arguments.sentences, SEED)


if __name__ == "__main__":
    main()
