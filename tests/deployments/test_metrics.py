import asyncio
import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.model_server import ModelReport
from tests.deployments.helpers import App

ROOT = Path(__file__).parents[2]
SYNTHESIZE = "/api/v1/tts/synthesize"
SPOKEN = {"text": "Hello.", "voice": "narrator_cloned"}


def samples_of(app: App) -> dict[tuple[str, ...], float]:
    """Every sample: (name, label, value, label, value...) to number."""
    answer = app.http.get("/metrics")
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

    monkeypatch.setattr("deployments.status.REPORT_TIMEOUT_S", 0.05)
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
    assert outcomes == {"error": 1}


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
