"""The replica's class without Ray: bridging, regrouping, cancelling."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.errors import DeadlinePassedError
from deployments.replica import model_server
from deployments.replica.bridge import MAX_CHUNK_FRAMES, regroup
from deployments.replica.model_server import ModelServer
from models import (
    Accepted,
    AudioChunk,
    EngineClosedError,
    Finished,
    FinishReason,
    GenerationError,
    InvalidRequestError,
    SynthesisRequest,
    checkpoint,
)
from tests.deployments.fake_engine import SAMPLES_PER_FRAME, FakeEngine, frame
from tests.deployments.helpers import make_config


def make_server(tmp_path: Path) -> tuple[ModelServer, FakeEngine]:
    config = make_config(tmp_path)
    engine = FakeEngine("base")
    return ModelServer(config, config.models[0], lambda _config, _model: engine), engine


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async def within_seconds() -> Any:
        async with asyncio.timeout(10):
            return await coroutine

    return asyncio.run(within_seconds())


async def collect(server: ModelServer, text: str) -> list[Any]:
    return [event async for event in server.speak(SynthesisRequest(text))]


def samples_of(frames: int) -> np.ndarray:
    return np.concatenate([frame(index) for index in range(frames)])


@pytest.mark.parametrize("text", ["[frames 20]", "[frames 20] [whole]"])
def test_all_samples_arrive_in_order_in_pieces_of_at_most_480_ms(tmp_path: Path, text: str) -> None:
    server, _ = make_server(tmp_path)
    accepted, *chunks, finished = run(collect(server, text))
    assert accepted == Accepted(7)
    assert isinstance(finished, Finished)
    assert finished.reason is FinishReason.EOS
    assert [chunk.first_frame for chunk in chunks] == list(np.cumsum([0, *(chunk.frames for chunk in chunks[:-1])]))
    assert max(chunk.frames for chunk in chunks) <= MAX_CHUNK_FRAMES
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), samples_of(20))


@pytest.mark.parametrize("cut", [0, 700])
def test_regrouping_keeps_every_sample_also_of_a_cut_last_frame(cut: int) -> None:
    samples = samples_of(14)[: 14 * SAMPLES_PER_FRAME - cut]
    chunks = [AudioChunk(samples[:1920], 3, 1), AudioChunk(samples[1920:], 4, 13)]
    pieces = list(regroup(chunks))
    assert [(piece.first_frame, piece.frames) for piece in pieces] == [(3, 6), (9, 6), (15, 2)]
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces]), samples)


def test_leaving_a_stream_aborts_the_request(tmp_path: Path) -> None:
    server, engine = make_server(tmp_path)
    request = SynthesisRequest("[forever]")

    async def leave_early() -> None:
        stream = server.stream(request)
        await anext(stream)
        await stream.aclose()

    run(leave_early())
    assert engine.aborted == {request.request_id}


def test_cancelling_a_call_aborts_the_request(tmp_path: Path) -> None:
    server, engine = make_server(tmp_path)
    request = SynthesisRequest("[forever]")

    async def cancel() -> None:
        task = asyncio.create_task(server.synthesize(request))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel())
    assert engine.aborted == {request.request_id}


@pytest.mark.parametrize(
    ("text", "error"),
    [("[fail 2]", GenerationError), ("[deadline]", DeadlinePassedError)],
)
def test_what_breaks_off_raises(tmp_path: Path, text: str, error: type[Exception]) -> None:
    server, _ = make_server(tmp_path)
    with pytest.raises(error):
        run(server.synthesize(SynthesisRequest(text)))


def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    server, engine = make_server(tmp_path)
    server.close()
    assert engine.closed.is_set()
    with pytest.raises(EngineClosedError):
        run(server.synthesize(SynthesisRequest("Hello.")))


def test_handles_may_name_a_voice(tmp_path: Path) -> None:
    server, engine = make_server(tmp_path)
    samples = run(server.synthesize(SynthesisRequest("[frames 3]"), "narrator_cloned"))
    np.testing.assert_array_equal(samples, samples_of(3))
    assert engine.requests[0].voice is not None
    assert engine.requests[0].whole


def test_a_sick_engine_fails_the_health_check(tmp_path: Path) -> None:
    server, engine = make_server(tmp_path)
    server.check_health()
    engine.is_healthy = False
    with pytest.raises(EngineClosedError):
        server.check_health()


def test_loading_leaves_no_more_packed_weights_than_the_configuration_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path, packed_cache_mb=3)
    happened: list[object] = []

    def load(*_: Any, **__: Any) -> FakeEngine:
        happened.append("loaded")
        return FakeEngine("base")

    def trim(limit_bytes: int, spared_s: float) -> None:
        happened.append((limit_bytes, spared_s))

    monkeypatch.setattr(model_server, "load_engine", load)
    monkeypatch.setattr(checkpoint, "trim", trim)
    model_server.load_configured_engine(config, config.models[0])
    assert happened == ["loaded", (3 * 1024**2, 86_400.0)]


def test_a_late_passage_that_cannot_be_spoken_is_refused_before_the_first_is(tmp_path: Path) -> None:
    server, engine = make_server(tmp_path)
    text = "A sentence of some length, and then another one. " * 60 + "And the last <|im_end|>."

    async def first_event() -> object:
        return await anext(server.speak(SynthesisRequest(text)))

    with pytest.raises(InvalidRequestError, match="control token"):
        run(first_event())
    assert engine.requests == []
