"""Readings of a sentence judged against the teacher's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models import FinishReason, Samples, SynthesisRequest
from models.engine_api import SpeechEngine
from training.distance import RATE, Features, cepstra, features, warped_distance
from training.work import SAMPLE_RATE

_TOLERANCE = 0.25  # of the teacher's duration


@dataclass(frozen=True, slots=True)
class Reading:
    """One sentence as the model said it."""

    own: float  # mel distance to the teacher reading the same sentence
    others: float  # mean of those to the teacher reading other ones
    own_cepstral: float  # the same of cepstra
    others_cepstral: float
    seconds: float
    ratio: float  # duration over the teacher's
    ended: bool  # the model said that it had finished


@dataclass(frozen=True, slots=True)
class Summary:
    """Many readings."""

    count: int
    own: float
    others: float
    own_cepstral: float
    others_cepstral: float
    duration_error: float  # mean of |duration over the teacher's - 1|
    ended: int
    ended_in_time: int  # and with a duration within a quarter of the teacher's

    @property
    def ratio(self) -> float:
        """Distance to what was to be said over that to other sentences: 1 is babble."""
        return self.own / self.others

    @property
    def cepstral_ratio(self) -> float:
        """The same of cepstra."""
        return self.own_cepstral / self.others_cepstral


def say(engine: SpeechEngine, request: SynthesisRequest) -> tuple[Samples, FinishReason]:
    """Speak to the end, whatever the end is."""
    stream = engine.stream(request)
    chunks = list(stream)
    assert stream.finished is not None
    samples = np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.float32)
    return samples, stream.finished.reason


def judge(samples: Samples, reason: FinishReason, teacher: Features, others: Sequence[Features]) -> Reading:
    """Compare with the teacher's reading and with its readings of other sentences."""
    seconds = len(samples) / SAMPLE_RATE
    spoken = features(samples if len(samples) else np.zeros(SAMPLE_RATE, dtype=np.float32))
    heard = cepstra(spoken)
    return Reading(
        own=warped_distance(spoken, teacher),
        others=float(np.mean([warped_distance(spoken, other) for other in others])),
        own_cepstral=warped_distance(heard, cepstra(teacher)),
        others_cepstral=float(np.mean([warped_distance(heard, cepstra(other)) for other in others])),
        seconds=seconds,
        ratio=seconds * RATE / len(teacher),
        ended=reason is FinishReason.EOS,
    )


def summarise(readings: Sequence[Reading]) -> Summary:
    """Means and counts."""
    in_time = [one.ended and abs(one.ratio - 1) <= _TOLERANCE for one in readings]
    return Summary(
        count=len(readings),
        **{
            name: float(np.mean([getattr(one, name) for one in readings]))
            for name in ("own", "others", "own_cepstral", "others_cepstral")
        },
        duration_error=float(np.mean([abs(one.ratio - 1) for one in readings])),
        ended=sum(one.ended for one in readings),
        ended_in_time=sum(in_time),
    )
