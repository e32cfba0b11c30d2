"""Greedy codes in float32 equal upstream's, code for code, in every mode."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import Sampling, SynthesisRequest, VoicePrompt, load_engine
from models.architecture.speaking import Architecture, read_architecture
from tests.parity.upstream_reference import Upstream

FRAMES = 40
TEXT = "Hello, this is a test."
LONG_TEXT = "It goes on for a while, so that text is left over when the reference clip has ended, and then some more."


def _voice(architecture: Architecture, frames: int, text: str | None) -> VoicePrompt:
    random = np.random.default_rng(frames)
    embedding = random.standard_normal(architecture.talker.hidden).astype(np.float32)
    if text is None:
        return VoicePrompt(embedding)
    codes = random.integers(0, architecture.codec.codebook_size, (frames, architecture.code_groups))
    return VoicePrompt(embedding, codes, text)


def _clone_requests(architecture: Architecture) -> list[SynthesisRequest]:
    long_clip, short_clip = _voice(architecture, 30, "A reference."), _voice(architecture, 4, "More text than frames.")
    x_vector = _voice(architecture, 0, None)
    return [
        SynthesisRequest(TEXT, voice=long_clip, language="english"),
        SynthesisRequest(TEXT, voice=long_clip, text_at_once=True),
        SynthesisRequest(LONG_TEXT, voice=short_clip),
        SynthesisRequest(LONG_TEXT, voice=short_clip, text_at_once=True, language="german"),
        SynthesisRequest(TEXT, voice=x_vector),
        SynthesisRequest("ok", voice=x_vector, text_at_once=True, language="japanese"),
    ]


def _requests(architecture: Architecture) -> list[SynthesisRequest]:
    if architecture.kind == "base":
        return _clone_requests(architecture)
    if architecture.kind == "voice_design":
        return [
            SynthesisRequest(TEXT, description="A deep, slow voice", language="french"),
            SynthesisRequest(TEXT, description="A bright voice", text_at_once=False),
            SynthesisRequest(TEXT),
        ]
    plain = next(name for name in architecture.speakers if name not in architecture.dialects)
    dialect = next(iter(architecture.dialects))
    style = None if architecture.size == "0b6" else "Angry"
    return [
        SynthesisRequest(TEXT, speaker=plain, language="english"),
        SynthesisRequest(TEXT, speaker=plain.title(), text_at_once=False, description=style),
        SynthesisRequest("你好", speaker=dialect),
        SynthesisRequest("你好", speaker=dialect, language="chinese"),
        SynthesisRequest(TEXT, speaker=dialect, language="english"),
    ]


# The odd shape has no native kernels; there the engine must fall back by itself.
BACKENDS = [("tiny", "torch"), ("tiny", "native"), ("same_size", "torch"), ("same_size", "native"), ("odd", "auto")]


@pytest.mark.parametrize("kind", ["base", "custom_voice", "voice_design"])
@pytest.mark.parametrize(("shape", "backend"), BACKENDS)
def test_greedy_codes_equal_upstreams(
    shape: str, backend: str, kind: str, checkpoint: Callable[..., Path], upstream: Callable[[Path], Upstream]
) -> None:
    directory = checkpoint(shape, kind)
    options = {"slots": 2, "max_positions": 512, "runaway": None, "backend": backend}
    engine = load_engine(directory, "fp32", threads=1, **options)
    try:
        assert engine.info.backend == ("torch" if backend == "auto" else backend)
        for request in _requests(read_architecture(directory)):
            expected = upstream(directory).codes(request, FRAMES)
            codes = engine.generate_codes(replace(request, sampling=Sampling.greedy(), max_frames=FRAMES))
            np.testing.assert_array_equal(codes, expected, err_msg=f"{request}")
            assert len(np.unique(codes[:, 0])) > 1, "a constant would prove little"
    finally:
        engine.close()


@pytest.mark.parametrize("penalty", [1.0, 1.8])
def test_repetition_penalty_as_upstreams(
    penalty: float, checkpoint: Callable[..., Path], upstream: Callable[[Path], Upstream]
) -> None:
    directory = checkpoint("tiny", "voice_design")
    request = SynthesisRequest(TEXT, description="A voice")
    engine = load_engine(directory, "fp32", threads=1, slots=1, max_positions=512, runaway=None)
    try:
        expected = upstream(directory).codes(request, FRAMES, penalty)
        sampling = Sampling.greedy(repetition_penalty=penalty)
        codes = engine.generate_codes(replace(request, sampling=sampling, max_frames=FRAMES))
    finally:
        engine.close()
    np.testing.assert_array_equal(codes, expected)


def test_speech_is_never_shorter_than_two_frames(
    checkpoint: Callable[..., Path], upstream: Callable[[Path], Upstream], tmp_path: Path
) -> None:
    """A checkpoint that wants to end at once may not, upstream's minimum of two tokens."""
    from tests.parity.eager_checkpoint import write_eager_checkpoint

    directory = write_eager_checkpoint(checkpoint("tiny", "voice_design"), tmp_path / "eager")
    request = SynthesisRequest(TEXT)
    engine = load_engine(directory, "fp32", threads=1, slots=1, max_positions=512)
    try:
        codes = engine.generate_codes(replace(request, sampling=Sampling.greedy(), max_frames=FRAMES))
    finally:
        engine.close()
    assert len(codes) == 2
    np.testing.assert_array_equal(codes, upstream(directory).codes(request, FRAMES))
