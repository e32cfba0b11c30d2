import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from starlette.types import Message

from deployments.config import key_digest
from deployments.contract import ModelReport
from tests.deployments.helpers import App, make_config

ROOT = Path(__file__).parents[3]
SYNTHESIZE = "/api/v1/tts/synthesize"
SPOKEN = {"text": "Hello.", "voice": "narrator_cloned"}


def samples_of(app: App) -> dict[tuple[str, ...], float]:
    """Every sample: (name, label, value, label, value...) to number."""
    return samples(app.http)


def outcomes_of(client: TestClient) -> dict[str, float]:
    """How often speeches ended in which way."""
    return {key[4]: value for key, value in samples(client).items() if key[0] == "qwen3_tts_speeches_total"}


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *(part for item in sorted(sample.labels.items()) for part in item)): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_models_are_measured_as_they_report(app: App) -> None:
    found = samples_of(app)
    assert found["qwen3_tts_slots", "model", "base-small-bf16"] == 8
    assert found["qwen3_tts_slots_used", "model", "base-small-bf16"] == 0
    assert found["qwen3_tts_budget_bytes", "model", "base-small-bf16"] > 0
    assert found["qwen3_tts_resident_bytes", "model", "voice-design-nf4"] > 0
    assert found["qwen3_tts_model_state", "model", "base-small-bf16", "state", "ready"] == 1
    assert found["qwen3_tts_model_state", "model", "base-small-bf16", "state", "loading"] == 0


def test_a_model_that_loads_has_a_state_and_a_budget_only(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> ModelReport:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr("deployments.web.status.REPORT_TIMEOUT_S", 0.05)
    monkeypatch.setattr(app.servers["base-small-bf16"], "report", never)
    found = samples_of(app)
    assert found["qwen3_tts_model_state", "model", "base-small-bf16", "state", "loading"] == 1
    assert ("qwen3_tts_budget_bytes", "model", "base-small-bf16") in found
    assert ("qwen3_tts_slots", "model", "base-small-bf16") not in found


@pytest.mark.parametrize(("stream", "first_audio"), [(True, 1), (False, 0)])
def test_a_speech_is_counted_and_timed(app: App, stream: bool, first_audio: int) -> None:
    assert app.http.post(SYNTHESIZE, json={**SPOKEN, "stream": stream, "format": "pcm"}).status_code == 200
    found = samples_of(app)
    model = ("model", "base-small-bf16")
    assert found["qwen3_tts_speeches_total", *model, "outcome", "eos"] == 1
    assert found["qwen3_tts_real_time_factor_count", *model] == 1
    assert found["qwen3_tts_queue_wait_seconds_count", *model] == 1
    assert found.get(("qwen3_tts_time_to_first_audio_seconds_count", *model), 0) == first_audio
    assert found["qwen3_tts_http_requests_total", "method", "POST", "route", SYNTHESIZE, "status", "200"] == 1


def test_a_speech_that_fails_is_counted_as_such(app: App) -> None:
    app.http.post(SYNTHESIZE, json={**SPOKEN, "text": "[fail 2]"})
    found = samples_of(app)
    assert found["qwen3_tts_http_requests_total", "method", "POST", "route", SYNTHESIZE, "status", "500"] == 1
    outcomes = {key[4]: value for key, value in found.items() if key[0] == "qwen3_tts_speeches_total"}
    assert outcomes == {"failed": 1}


@pytest.mark.parametrize(
    ("change", "status", "outcome"),
    [
        ({}, 200, "eos"),
        ({"text": "[overloaded]"}, 429, "refused"),
        ({"text": "[reject]"}, 400, "refused"),
        ({"language": "klingon"}, 400, "refused"),
        ({"text": "[forever]", "timeout_s": 1.0}, 504, "deadline"),
        ({"text": "[crash]"}, 500, "failed"),
        ({"text": "[fail 20]", "stream": True}, 200, "failed"),
        ({"text": "[forever]", "timeout_s": 1.5, "stream": True}, 200, "deadline"),
    ],
)
def test_outcomes_are_what_the_client_was_told(app: App, change: dict[str, object], status: int, outcome: str) -> None:
    assert app.broken.post(SYNTHESIZE, json={**SPOKEN, **change}).status_code == status
    assert outcomes_of(app.broken) == {outcome: 1}


def test_a_model_that_is_gone_is_unavailable(app: App) -> None:
    app.engines["base-small-bf16"].close()
    for stream in (True, False):
        assert app.http.post(SYNTHESIZE, json={**SPOKEN, "stream": stream}).status_code == 503
    assert outcomes_of(app.http) == {"unavailable": 2}


def test_events_that_break_off_have_failed(app: App) -> None:
    body = {"model": "tts-1", "input": "[fail 20]", "voice": "alloy", "response_format": "pcm", "stream_format": "sse"}
    assert app.http.post("/v1/audio/speech", json=body).status_code == 200
    assert outcomes_of(app.http) == {"failed": 1}


@pytest.mark.parametrize("stream", [True, False])
def test_only_who_left_has_left(app: App, stream: bool) -> None:
    """A client that goes away, and a server that ends while the client is there: the same request, cancelled."""
    asgi: Any = app.http.app
    services, outcomes = asgi.state.services, []
    for leaves in (True, False):
        heard = app.engines["base-small-bf16"].requests
        heard.clear()
        asyncio.run(ask_and_stop(asgi, {**SPOKEN, "text": "[forever]", "stream": stream}, leaves, heard))
        text = services.metrics.exposition(asyncio.run(services.status.status())).decode()
        outcomes.append(set(re.findall(r'speeches_total\{model="base-small-bf16",outcome="(\w+)"\}', text)))
    stopped = "failed" if stream else "unavailable"
    assert outcomes == [{"abandoned"}, {"abandoned", stopped}]
    statuses = set(re.findall(rf'route="{SYNTHESIZE}",status="(\d+)"', text))
    assert statuses == ({"200"} if stream else {"499", "503"})


async def ask_and_stop(asgi: Any, body: dict[str, object], leaves: bool, heard: Sequence[object]) -> None:
    """A request whose client leaves once it is `heard` of, or stays and it is cancelled."""
    asked, left, sent = asyncio.Event(), asyncio.Event(), list[Message]()
    content = json.dumps(body).encode()

    async def receive() -> Message:
        if not asked.is_set():
            asked.set()
            return {"type": "http.request", "body": content, "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"x-request-id", b"mine")]
    scope = {
        "type": "http", "method": "POST", "path": SYNTHESIZE, "headers": headers, "query_string": b"",
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8000), "scheme": "http", "root_path": "",
        "http_version": "1.1",
    }  # fmt: skip
    request = asyncio.create_task(asgi(scope, receive, send))
    while not heard or (body["stream"] and not sent):
        await asyncio.sleep(0.01)
    (left.set if leaves else request.cancel)()
    await asyncio.wait({request}, timeout=5)
    assert request.done()


def test_what_is_refused_on_the_way_has_the_route_it_was_meant_for(tmp_path: Path) -> None:
    app = App(make_config(tmp_path / "voices", max_body_mb=1, api_keys=[key_digest("key")], open_metrics=True))
    app.http.post(SYNTHESIZE, json=SPOKEN)
    app.http.get("/api/v1/tts/voices/anna")
    app.http.post("/v1/audio/speech", content=b"a" * 2**21, headers={"Authorization": "Bearer key"})
    app.http.get("/nowhere")
    requests = {
        key[4:7:2]: value for key, value in samples_of(app).items() if key[0] == "qwen3_tts_http_requests_total"
    }
    assert requests == {
        (SYNTHESIZE, "401"): 1, ("/api/v1/tts/voices/{voice}", "401"): 1, ("/v1/audio/speech", "413"): 1,
        ("other", "401"): 1,
    }  # fmt: skip


def test_labels_do_not_grow_with_what_clients_send(app: App) -> None:
    for number in range(5):
        app.http.get(f"/nowhere/{number}")
        app.http.get(f"/api/v1/tts/voices/nobody-{number}")
        app.http.request(f"M{number}", "/livez")
    routes = {key[4] for key in samples_of(app) if key[0] == "qwen3_tts_http_requests_total"}
    assert routes == {"other", "/api/v1/tts/voices/{voice}", "/livez"}
    methods = {key[2] for key in samples_of(app) if key[0] == "qwen3_tts_http_requests_total"}
    assert methods == {"GET", "other"}


def test_the_dashboard_asks_for_nothing_that_is_not_there(app: App) -> None:
    app.http.post(SYNTHESIZE, json={**SPOKEN, "stream": True})
    known = {key[0] for key in samples_of(app)}
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queries += [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert len(queries) > 10
    for query in queries:
        names = re.findall(r"qwen3_tts_\w+", query)
        assert names, f"{query} asks for none of our metrics"
        assert set(names) <= known, query
