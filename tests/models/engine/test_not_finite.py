"""A number that is not finite, wherever it comes up, ends the sequence that it belongs to and no other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import Finished, FinishReason, Kind, Sampling, SpeechEngine, load_engine
from models.codec.slots import TorchCodec
from models.language.code_predictor import TorchCodePredictor
from models.language.decoder_stack import TorchStack
from models.language.talker import Talker
from models.native import NativeCodec, NativeCodePredictor, NativeStack, available
from tests.models.engine.engine_client import Recorder, becomes_idle, speech_request

BACKENDS = ("torch", *(["native"] if available() else []))
VALUES = (float("nan"), float("inf"), float("-inf"))
STRIKES_AT = 2  # calls of the part that is broken


@pytest.fixture(params=BACKENDS)
def engine(request: pytest.FixtureRequest, tiny_checkpoint: Callable[[Kind], Path]) -> Iterator[SpeechEngine]:
    options: dict[str, Any] = {"slots": 2, "max_positions": 256, "runaway": None, "backend": request.param}
    engine = load_engine(tiny_checkpoint("base"), "fp32", threads=1, **options)
    yield engine
    engine.close()


def _break_predictor(patch: pytest.MonkeyPatch, value: float) -> None:
    """The first row of a frame, on its way into the code predictor."""
    for kind in (NativeCodePredictor, TorchCodePredictor):
        predict, calls = kind.predict, [0]

        def broken(self: Any, hidden: Tensor, *rest: Any, predict: Any = predict, calls: list[int] = calls) -> Any:
            calls[0] += 1
            if calls[0] == STRIKES_AT:
                hidden = hidden.clone()
                hidden[0, 3] = value
            return predict(self, hidden, *rest)

        patch.setattr(kind, "predict", broken)


def _break_cache(patch: pytest.MonkeyPatch, value: float) -> None:
    """One number of what slot 0 remembers, in the talker."""
    for kind in (NativeStack, TorchStack):
        forward = kind.forward

        def broken(self: Any, x: Tensor, slots: Sequence[int], positions: Sequence[int], forward: Any = forward) -> Any:
            if self.cache.positions == 256 and 0 in slots and len(slots) == 2:
                self.cache.values[0, 0, 0, 1, 2] = value
            return forward(self, x, slots, positions)

        patch.setattr(kind, "forward", broken)


def _break_codec(patch: pytest.MonkeyPatch, value: float) -> None:
    """One number of slot 0's past in the codec's last convolution."""

    def past_of(codec: Any) -> Tensor:
        if isinstance(codec, NativeCodec):
            return codec._state[0].view(torch.float32)  # pyright: ignore[reportPrivateUsage]
        return codec._state[-1][0].view(-1)

    for kind in (NativeCodec, TorchCodec):
        decode, calls = kind.decode, [0]

        def broken(
            self: Any, slots: Sequence[int], codes: Tensor, decode: Any = decode, calls: list[int] = calls
        ) -> Any:
            calls[0] += 1
            if calls[0] >= STRIKES_AT and 0 in slots:
                past_of(self)[-1] = value
            return decode(self, slots, codes)

        patch.setattr(kind, "decode", broken)


def _break_logits(patch: pytest.MonkeyPatch, value: float) -> None:
    """One logit of code 0, of the first of two."""
    logits = Talker.logits

    def broken(self: Talker, hidden: Tensor) -> Tensor:
        made = logits(self, hidden)
        if len(made) == 2:
            made[0, 7] = value
        return made

    patch.setattr(Talker, "logits", broken)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("break_it", [_break_logits, _break_predictor, _break_cache, _break_codec])
def test_it_ends_with_an_error_and_its_neighbour_as_if_alone(
    engine: SpeechEngine,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch, float], None],
    value: float,
) -> None:
    alone = _spoken(engine, [1])[0]
    with monkeypatch.context() as patch:
        break_it(patch, value)
        victim, neighbour = _spoken(engine, [0, 1])
    assert victim.end.reason is FinishReason.ERROR
    assert victim.end.error is not None
    assert "not finite" in victim.end.error
    assert victim.heard.max(initial=0) <= 1.0
    assert np.isfinite(victim.heard).all()
    assert neighbour.end.reason is alone.end.reason
    assert len(neighbour.heard) == len(alone.heard)
    # What the kernels speak does not depend on the neighbours by a bit; a matrix library may round sums of two rows
    # in another order than those of one.
    apart = np.abs(neighbour.heard - alone.heard).max()
    assert apart == 0 if engine.info.backend == "native" else apart < 1e-5
    again = _spoken(engine, [0])[0]
    assert again.end.reason is not FinishReason.ERROR
    assert becomes_idle(engine)


class _Spoken:
    def __init__(self, recorder: Recorder) -> None:
        self.end: Finished = recorder.wait()
        self.heard = np.concatenate([np.zeros(0, np.float32), *(chunk.samples for chunk in recorder.chunks)])


def _spoken(engine: SpeechEngine, numbers: list[int]) -> list[_Spoken]:
    """Utterances that begin together; of a new engine, the first one in slot 0."""
    recorders = [Recorder() for _ in numbers]
    for number, recorder in zip(numbers, recorders, strict=True):
        engine.submit(replace(speech_request(engine, number, 40), sampling=Sampling(seed=3)), recorder)
    return [_Spoken(recorder) for recorder in recorders]
