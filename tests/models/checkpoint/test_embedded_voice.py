"""The shipped voice: laid out in the published format, saying its sentences, ending whatever it is told."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quality import narrator, read_sentences, readings
from models import FinishReason, Samples, Sampling, SpeechEngine, SynthesisRequest, load_engine
from models.catalog.shipped_voice import SHIPPED_VOICE, SPEAKING_KINDS
from models.checkpoint.checkpoint import open_checkpoint
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
    assert summary.ratio < 0.6, "babble has 1"
    assert summary.cepstral_ratio < 0.5
    assert summary.duration_error < 0.25


def _designed(engine: SpeechEngine, description: str) -> Samples:
    text = "The evening was quiet and the road was long."
    sampling = Sampling(seed=1)
    samples, reason = say(engine, SynthesisRequest(text, description=description, sampling=sampling))
    assert reason is FinishReason.EOS
    return samples


def test_a_bright_woman_speaks_higher_than_a_deep_man(design: SpeechEngine) -> None:
    low, high = (
        median_pitch(_designed(design, description), design.info.sample_rate)
        for description in ("A deep man's voice", "A bright woman's voice")
    )
    assert high > 1.5 * low > 0


def test_a_slow_voice_takes_longer_than_a_quick_one(design: SpeechEngine) -> None:
    slow, quick = (len(_designed(design, f"A {pace} woman's voice")) for pace in ("slow", "quick"))
    assert slow > 1.25 * quick


def test_a_long_passage_is_read_to_its_end(base: SpeechEngine) -> None:
    """More than any in training: still as many frames as the letters need, and an end."""
    text = " ".join(one.text for one in read_sentences()[:7])
    assert len(text) > 300
    samples, reason = say(base, SynthesisRequest(text, voice=narrator(base), sampling=Sampling.greedy()))
    assert reason is FinishReason.EOS
    assert 0.04 < len(samples) / base.info.sample_rate / len(text) < 0.12  # seconds a letter


@pytest.mark.parametrize("text", STRANGE)
def test_text_that_it_never_learnt_ends_with_a_reason(base: SpeechEngine, text: str) -> None:
    request = SynthesisRequest(text, voice=narrator(base), max_frames=300, sampling=Sampling(seed=1))
    samples, reason = say(base, request)
    assert reason in (FinishReason.EOS, FinishReason.LENGTH, FinishReason.RUNAWAY)
    assert np.isfinite(samples).all()
