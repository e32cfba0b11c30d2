"""The shipped voice: laid out in the published format, saying its sentences, ending whatever it is told."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quality import narrator, read_sentences, readings
from models import Sampling, SpeechEngine, SynthesisRequest, load_engine
from models.checkpoint import open_checkpoint
from models.shipped_voice import SHIPPED_VOICE, SPEAKING_KINDS
from models.types import FinishReason
from tests.parity.upstream_reference import Upstream
from training.pitch import median_pitch
from training.readings import say

MEGABYTES = 25
STRANGE = (
    "12,345.67 + 8 = ?",
    "你好，世界。",
    "Привет, мир",
    "😀 @#%^&* ~~~ \\ /",
    "x" * 200,
    "...",
    "éàü ñ ß ø",
)


@pytest.fixture(scope="module")
def base() -> Iterator[SpeechEngine]:
    engine = load_engine("embedded:base", "bf16", threads=1, slots=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def design() -> Iterator[SpeechEngine]:
    engine = load_engine("embedded:voice_design", "nf4", threads=1, slots=2)
    yield engine
    engine.close()


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED_VOICE.rglob("*") if path.is_file()) < MEGABYTES * 1_000_000


@pytest.mark.parametrize("kind", SPEAKING_KINDS)
def test_upstream_loads_it_and_says_the_same(kind: str) -> None:
    checkpoint = open_checkpoint(f"embedded:{kind}")
    checkpoint.check(needs_encoder=kind == "base")
    engine = load_engine(checkpoint.path, "fp32", threads=1, slots=1, runaway=None)
    try:
        request = SynthesisRequest("Good morning.", description="A deep man's voice.", text_at_once=False)
        if kind == "base":
            request = SynthesisRequest("Good morning.", voice=narrator(engine))
        codes = engine.generate_codes(replace(request, sampling=Sampling.greedy(), max_frames=30))
    finally:
        engine.close()
    np.testing.assert_array_equal(codes, Upstream(checkpoint.path).codes(request, 30))


def test_it_says_the_sentence_and_not_another(base: SpeechEngine) -> None:
    summary = readings(base, narrator(base), read_sentences()[:6])
    assert summary.ended == summary.count
    assert summary.ratio < 0.8, "babble has 1"
    assert summary.duration_error < 0.25


def test_a_bright_woman_speaks_higher_than_a_deep_man(design: SpeechEngine) -> None:
    text = "The evening was quiet and the road was long."
    heard: list[float] = []
    for description in ("A deep man's voice", "A bright woman's voice"):
        sampling = replace(design.info.generation_defaults, seed=1)
        samples, reason = say(design, SynthesisRequest(text, description=description, sampling=sampling))
        assert reason is FinishReason.EOS
        heard.append(median_pitch(samples, design.info.sample_rate))
    assert heard[1] > 1.5 * heard[0] > 0


@pytest.mark.parametrize("text", STRANGE)
def test_text_that_it_never_learnt_ends_with_a_reason(base: SpeechEngine, text: str) -> None:
    request = SynthesisRequest(text, voice=narrator(base), max_frames=300, sampling=Sampling(seed=1))
    samples, reason = say(base, request)
    assert reason in (FinishReason.EOS, FinishReason.LENGTH, FinishReason.RUNAWAY)
    assert np.isfinite(samples).all()
