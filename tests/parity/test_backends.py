"""The native kernels against the torch reference, through whole engines."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models import Codes, Samples, Sampling, SynthesisRequest, load_engine
from models.native import available, instruction_sets

pytestmark = pytest.mark.skipif(not available(), reason="the native kernels are not compiled")
TEXT = "A sentence that is long enough for some hundreds of frames, which is what it takes."


def _speak(directory: Path, frames: int, backend: str, instructions: str | None = None) -> tuple[Codes, Samples]:
    options = {"slots": 1, "max_positions": 640, "runaway": None, "backend": backend, "instructions": instructions}
    engine = load_engine(directory, "fp32", threads=1, **options)
    try:
        greedy = SynthesisRequest(TEXT, sampling=Sampling.greedy(repetition_penalty=1.3), max_frames=frames)
        drawn = SynthesisRequest(TEXT, sampling=Sampling(seed=3, top_p=0.9), max_frames=20)
        return engine.generate_codes(greedy), engine.synthesize(drawn)
    finally:
        engine.close()


def test_five_hundred_greedy_frames_are_equal(endless_checkpoint: Path) -> None:
    native, native_samples = _speak(endless_checkpoint, 500, "native")
    torch_, torch_samples = _speak(endless_checkpoint, 500, "torch")
    assert len(native) == 500
    np.testing.assert_array_equal(native, torch_)
    np.testing.assert_allclose(native_samples, torch_samples, atol=1e-4 * np.abs(torch_samples).max())


@pytest.mark.parametrize("instructions", instruction_sets())
def test_every_instruction_set_gives_the_same_codes(instructions: str, endless_checkpoint: Path) -> None:
    codes, _ = _speak(endless_checkpoint, 60, "native", instructions)
    expected, _ = _speak(endless_checkpoint, 60, "torch")
    np.testing.assert_array_equal(codes, expected)


def test_an_instruction_set_that_is_not_there_is_named(tiny_checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(Exception, match="no sse9 kernels here"):
        load_engine(tiny_checkpoint("voice_design"), "fp32", slots=1, instructions="sse9")
