"""The application under Ray Serve with fake engines: what only Ray can get wrong."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import ray
from openai import OpenAI
from ray import serve
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from ray.serve.handle import DeploymentResponseGenerator

from deployments.app import assemble, build
from deployments.fleet.model_client import ServeModelClient
from deployments.fleet.presence import PresenceWatch
from deployments.launch.own_ray import SETTINGS
from deployments.web.audio_encoder import to_int16
from models import GenerationError, InvalidRequestError, SynthesisRequest
from tests.deployments.fake_engine import DEFAULT_FRAMES, frame, make_fake_engine
from tests.deployments.helpers import MODELS, make_clip, make_config, refused_at_once
from tests.sockets import free_port

SYNTHESIZE = "/api/v1/tts/synthesize"
SPOKEN = {"text": "Hello.", "voice": "narrator_cloned", "format": "pcm"}


def pcm(frames: int) -> bytes:
    return to_int16(np.concatenate([frame(index) for index in range(frames)]))


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("voices")


def deploy(voices: Path) -> None:
    """The app, where there is none."""
    config = make_config(voices, models=MODELS[:1])
    serve.run(assemble(config, make_fake_engine), name="tts", route_prefix="/")


@pytest.fixture(scope="module")
def url(voices: Path) -> Iterator[str]:
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS"):
        os.environ.setdefault(name, SETTINGS[name])
    port = free_port()
    ray.init(
        address="local", namespace="serve", include_dashboard=False, num_cpus=2, object_store_memory=128 * 2**20,
        _node_ip_address="127.0.0.1", logging_level=logging.WARNING, log_to_driver=False,
    )  # fmt: skip
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        deploy(voices)
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


def running(url: str) -> int:
    return httpx.get(f"{url}/api/v1/status").json()["models"][0]["slots_used"]


def until_idle(url: str) -> float:
    began = time.monotonic()
    while running(url) > 0:
        assert time.monotonic() - began < 5, "the engine still speaks to nobody"
        time.sleep(0.02)
    return time.monotonic() - began


def test_http_answers_with_one_request_id(url: str) -> None:
    answer = httpx.post(url + SYNTHESIZE, json=SPOKEN)
    assert (answer.status_code, answer.content) == (200, pcm(DEFAULT_FRAMES))
    assert len(answer.headers.get_list("x-request-id")) == 1


def test_the_builder_takes_its_arguments_typed() -> None:
    arguments = {"models": [{**MODELS[0], "memory_budget_mb": 1000}]}
    app = call_user_app_builder_with_args_if_necessary(build, arguments)
    assert isinstance(app, serve.Application)


def test_bad_input_is_refused_within_100_ms(url: str) -> None:
    httpx.post(url + SYNTHESIZE, json=SPOKEN)
    with httpx.Client(base_url=url) as client:
        for change in ({"text": "a" * 100_000}, {"voice": "nobody"}, {"colour": 1}, {"language": "klingon"}):
            body = {**SPOKEN, **change}
            answer = refused_at_once(lambda body=body: client.post(SYNTHESIZE, json=body), lambda: client.get("/livez"))
            assert answer.status_code in (400, 404)
            assert set(answer.json()) == {"error"}


def test_an_error_of_the_replica_keeps_its_field(url: str) -> None:
    answer = httpx.post(url + SYNTHESIZE, json={**SPOKEN, "text": "[reject]"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "max_frames")


def test_an_error_outside_the_tree_stays_opaque(url: str) -> None:
    answer = httpx.post(url + SYNTHESIZE, json={**SPOKEN, "text": "[crash]"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


def decoders() -> set[int]:
    """Processes that decode clips."""
    found: set[int] = set()
    for process in psutil.process_iter(["cmdline"]):
        if "voices.decoder_process" in (process.info["cmdline"] or ()):
            found.add(process.pid)
    return found


def test_clips_are_decoded_beside_the_ingress(url: str) -> None:
    """One that takes the decoder with it, too: here somebody kills it, which a clip could make it do itself."""
    before = decoders()
    for name in ("anna", "berta"):
        form = {"voice_name": name}
        made = httpx.post(f"{url}/api/v1/tts/clone", data=form, files={"reference_audio": make_clip()}, timeout=30)
        assert made.status_code == 201, made.text
        answer = httpx.post(url + SYNTHESIZE, json={**SPOKEN, "voice": name})
        assert (answer.status_code, answer.content) == (200, pcm(DEFAULT_FRAMES))
        [decoder] = decoders() - before
        parent = psutil.Process(decoder).parent()
        assert parent is not None
        assert "ServeReplica" in "".join(parent.cmdline())
        psutil.Process(decoder).kill()


def test_a_stream_arrives_while_it_is_made(url: str) -> None:
    body = {**SPOKEN, "text": "[frames 100]", "stream": True}
    with httpx.stream("POST", url + SYNTHESIZE, json=body) as answer:
        arrivals = [(time.monotonic(), piece) for piece in answer.iter_raw()]
    assert b"".join(piece for _, piece in arrivals) == pcm(100)
    assert arrivals[-1][0] - arrivals[0][0] > 0.3
    assert len(arrivals) > 10


def test_a_stream_that_breaks_off_is_broken_for_the_client(url: str) -> None:
    body = {**SPOKEN, "text": "[fail 20]", "stream": True}
    with httpx.stream("POST", url + SYNTHESIZE, json=body) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_a_stream_that_fails_at_once_is_a_status(url: str) -> None:
    answer = httpx.post(url + SYNTHESIZE, json={**SPOKEN, "text": "[fail 0]", "stream": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "generation_failed")


def test_events_that_break_off_end_with_an_error_event(url: str) -> None:
    body = {"model": "tts-1", "input": "[fail 20]", "voice": "alloy", "response_format": "pcm", "stream_format": "sse"}
    events = [
        json.loads(line[6:]) for line in httpx.post(f"{url}/v1/audio/speech", json=body).text.split("\n\n") if line
    ]
    assert events[0]["type"] == "speech.audio.delta"
    assert events[-1]["type"] == "speech.audio.error"


def test_a_client_that_leaves_a_stream_frees_the_engine(url: str) -> None:
    body = {**SPOKEN, "text": "[forever]", "stream": True}
    with httpx.stream("POST", url + SYNTHESIZE, json=body) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        assert running(url) == 1
    assert until_idle(url) < 2


def test_a_client_that_does_not_wait_for_the_whole_frees_the_engine(url: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url + SYNTHESIZE, json={**SPOKEN, "text": "[forever]"}, timeout=httpx.Timeout(5, read=0.4))
    assert until_idle(url) < 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_cannot_have_speech_computed_for_nobody(url: str, stream: bool) -> None:
    """The header makes Ray's proxy blind for disconnects."""
    body = {**SPOKEN, "text": "[forever]", "stream": stream}
    headers = {"x-request-disconnect-disabled": "?1", "x-request-timeout-seconds": "0"}
    with (
        contextlib.suppress(httpx.ReadTimeout),
        httpx.stream(
            "POST", url + SYNTHESIZE, json=body, headers=headers, timeout=httpx.Timeout(5, read=0.4)
        ) as answer,
    ):
        next(answer.iter_raw())
    assert until_idle(url) < 2


def test_the_deadline_is_ours_whatever_the_client_tells_the_proxy(url: str) -> None:
    body = {**SPOKEN, "text": "[forever]", "timeout_s": 0.3}
    answer = httpx.post(url + SYNTHESIZE, json=body, headers={"x-request-timeout-seconds": "0"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_passed")
    with httpx.stream("POST", url + SYNTHESIZE, json={**body, "stream": True}) as broken:
        assert broken.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            broken.read()


def test_overload_is_a_status_also_of_a_stream(url: str) -> None:
    answer = httpx.post(url + SYNTHESIZE, json={**SPOKEN, "text": "[overloaded]", "stream": True})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "8")


def test_the_same_request_twice_is_computed_once(url: str) -> None:
    body = {**SPOKEN, "text": "[frames 200]", "seed": 3}
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(httpx.post, url + SYNTHESIZE, json=body, timeout=30) for _ in range(4)]
        busiest = 0
        while not all(answer.done() for answer in answers):
            busiest = max(busiest, running(url))
    assert busiest == 1
    assert {(answer.result().status_code, answer.result().content) for answer in answers} == {(200, pcm(200))}


def test_openais_client_that_loses_patience_gets_what_it_asked_for_first(url: str) -> None:
    """Each of its tries is shorter than the work."""
    before = httpx.get(f"{url}/api/v1/status").json()["models"][0]["requests"]
    with OpenAI(base_url=f"{url}/v1", api_key="-", timeout=1.0, max_retries=3) as client:
        answer = client.audio.speech.create(
            model="tts-1", voice="alloy", input="[frames 300]", response_format="pcm", extra_body={"stream": False}
        )
    assert answer.content == pcm(300)
    assert httpx.get(f"{url}/api/v1/status").json()["models"][0]["requests"] == before + 1


def test_many_requests_wait_and_none_is_refused(url: str) -> None:
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(httpx.post, url + SYNTHESIZE, json=SPOKEN, timeout=60) for _ in range(40)]
        answers = [request.result() for request in waiting]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, pcm(DEFAULT_FRAMES))}


@pytest.mark.usefixtures("url")
def test_handles_speak_whole_and_streaming() -> None:
    handle = serve.get_deployment_handle("base-small-bf16", app_name="tts")
    request = SynthesisRequest("[frames 20]")
    whole = handle.synthesize.remote(request, voice="narrator_cloned").result()
    stream = handle.options(stream=True).stream.remote(request, voice="narrator_cloned")
    assert isinstance(stream, DeploymentResponseGenerator)
    pieces = list(stream)
    assert len(pieces) > 3
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert to_int16(whole) == pcm(20)


@pytest.mark.usefixtures("url")
def test_errors_reach_handles_as_they_were_raised() -> None:
    handle = serve.get_deployment_handle("base-small-bf16", app_name="tts")
    with pytest.raises(InvalidRequestError) as refusal:
        handle.synthesize.remote(SynthesisRequest("[reject]")).result()
    assert refusal.value.field == "max_frames"
    with pytest.raises(GenerationError):
        handle.synthesize.remote(SynthesisRequest("[fail 2]")).result()


def test_leaving_the_clients_generator_frees_the_engine(url: str) -> None:
    client = ServeModelClient(serve.get_deployment_handle("base-small-bf16", app_name="tts"), PresenceWatch("tts"))

    async def leave_early() -> None:
        events = client.speak(SynthesisRequest("[forever]"))
        await anext(events)
        await anext(events)
        await events.aclose()

    asyncio.run(leave_early())
    assert until_idle(url) < 2


def test_requests_go_on_while_serves_controller_does_not_and_after_it_was_killed(url: str) -> None:
    httpx.post(url + SYNTHESIZE, json=SPOKEN)  # afterwards the ingress has found the replica
    controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    process: Any = ray.get(controller.get_pid.remote())
    os.kill(process, signal.SIGSTOP)
    try:
        for path in ("/readyz", "/health", "/api/v1/status"):
            assert httpx.get(url + path).status_code == 200
        for stream in (True, False):
            answer = httpx.post(url + SYNTHESIZE, json={**SPOKEN, "stream": stream})
            assert (answer.status_code, answer.content) == (200, pcm(DEFAULT_FRAMES))
    finally:
        os.kill(process, signal.SIGKILL)
    while (successor := ray.get(controller.get_pid.remote())) == process:
        time.sleep(0.05)
    assert httpx.post(url + SYNTHESIZE, json=SPOKEN).status_code == 200
    assert successor != process


def test_a_replica_whose_engine_sticks_is_replaced(url: str) -> None:
    began = time.monotonic()
    stuck = httpx.post(url + SYNTHESIZE, json={**SPOKEN, "text": "[stick]"}, timeout=60)
    assert (stuck.status_code, stuck.headers["retry-after"]) == (503, "5")
    answer = httpx.post(url + SYNTHESIZE, json=SPOKEN, timeout=60)
    assert (answer.status_code, answer.content) == (200, pcm(DEFAULT_FRAMES))
    assert time.monotonic() - began < 40, "its drain_s of 60 was waited for"


def test_deleting_the_app_finishes_what_runs(url: str, voices: Path) -> None:
    answers: list[Any] = []
    body = {**SPOKEN, "text": "[frames 300]"}
    client = threading.Thread(target=lambda: answers.append(httpx.post(url + SYNTHESIZE, json=body, timeout=30)))
    client.start()
    while running(url) == 0:
        assert client.is_alive()
        time.sleep(0.02)
    try:
        serve.delete("tts")
        client.join()
        assert (answers[0].status_code, answers[0].content) == (200, pcm(300))
    finally:
        deploy(voices)
