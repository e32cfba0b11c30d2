import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployments.contract import ModelReport, Presence
from deployments.errors import ModelUnavailableError
from deployments.web import status
from models import OverloadedError
from tests.deployments.helpers import App, make_config


def test_status_tells_every_model_and_what_the_embedded_voice_is(app: App) -> None:
    body = app.http.get("/api/v1/status").json()
    assert [model["id"] for model in body["models"]] == ["base-small-bf16", "base-small-fp32", "voice-design-nf4"]
    for model in body["models"]:
        assert (model["state"], model["weights"], model["load_seconds"]) == ("ready", "embedded", 0.25)
        assert model["resident_bytes"] > 0
        assert model["budget_bytes"] > 0
    assert "24 MB" in body["notice"]
    assert body["node"]["cores"] >= 1
    assert body["uptime_s"] >= 0
    assert body["version"]


def test_a_model_that_is_overrun_with_requests_is_still_ready(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> ModelReport:
        raise OverloadedError("full", 5.0)

    assert app.http.get("/readyz").status_code == 200
    for server in app.servers.values():
        monkeypatch.setattr(server, "report", refuse)
    monkeypatch.setattr(status, "HEALTH_AGE_S", 0.0)
    assert set(app.http.get("/health").json()["models"].values()) == {"ready"}
    monkeypatch.setattr(status, "BUSY_S", 0.0)
    assert set(app.http.get("/health").json()["models"].values()) == {"loading"}


def test_probes_share_what_is_known_and_status_asks_anew(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    [server, *_] = app.servers.values()
    asked: list[str] = []
    report = server.report

    async def counted() -> ModelReport:
        asked.append("report")
        return await report()

    server.report = counted
    assert status.HEALTH_AGE_S <= 1.0
    monkeypatch.setattr(status, "HEALTH_AGE_S", 60.0)  # the machine may be busy
    for _ in range(10):
        assert app.http.get("/health").status_code == app.http.get("/readyz").status_code == 200
    assert len(asked) == 1
    app.http.get("/api/v1/status")
    assert len(asked) == 2
    monkeypatch.setattr(status, "HEALTH_AGE_S", 0.0)
    app.http.get("/health")
    assert len(asked) == 3


def test_a_report_is_asked_for_once_at_a_time(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    [server, *_] = app.servers.values()
    under_way, most = 0, 0
    report = server.report

    async def slow() -> ModelReport:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return await report()

    monkeypatch.setattr(status, "HEALTH_AGE_S", 0.0)
    server.report = slow
    services: Any = app.http.app

    async def ask_at_once() -> None:
        found = services.state.services.status
        await asyncio.gather(*(found.health() for _ in range(10)), *(found.status() for _ in range(10)))

    asyncio.run(ask_at_once())
    assert most == 1


def test_a_report_does_not_look_at_every_page_of_the_caches(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in app.engines.values():
        monkeypatch.setattr(engine, "memory_report", None)
    for path in ("/health", "/api/v1/status", "/metrics"):
        assert app.http.get(path).status_code == 200


def test_without_serves_controller_everything_goes_on(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone() -> Presence:
        raise ModelUnavailableError("the controller is gone")

    for server in app.servers.values():
        monkeypatch.setattr(server, "presence", gone)
    body = {"text": "Hello.", "voice": "narrator_cloned"}
    for _ in range(2):
        assert app.http.post("/api/v1/tts/synthesize", json=body).status_code == 200
    assert app.http.get("/readyz").status_code == 200
    assert app.http.get("/api/v1/status").json()["models"][0]["state"] == "ready"


def test_a_replica_with_other_weights_is_heard_of(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Voices are prepared for the weights that hear them: those of a replica that was replaced may be others."""
    body = {"text": "Hello.", "voice": "narrator_cloned"}
    app.http.post("/api/v1/tts/synthesize", json=body)
    engine = app.engines["base-small-bf16"]
    engine.info = replace(engine.info, fingerprint="another")
    monkeypatch.setattr("deployments.speech.router.HEARD_S", 0.0)
    app.http.post("/api/v1/tts/synthesize", json=body)
    assert len(engine.encoded) == 2


def test_a_folder_of_weights_needs_no_notice(tmp_path: Path) -> None:
    app = App(make_config(tmp_path / "voices", weights=str(tmp_path)))
    assert app.http.get("/api/v1/status").json()["notice"] is None


def test_a_loading_model_keeps_nobody_waiting(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> ModelReport:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(status, "REPORT_TIMEOUT_S", 0.05)
    for server in app.servers.values():
        monkeypatch.setattr(server, "report", never)
    began = time.monotonic()
    states = app.http.get("/health").json()
    assert time.monotonic() - began < 1.0
    assert states["status"] == "loading"
    assert set(states["models"].values()) == {"loading"}
    not_ready = app.http.get("/readyz")
    assert (not_ready.status_code, not_ready.headers["retry-after"]) == (503, "5")
    assert app.http.get("/livez").status_code == 200


def test_one_ready_model_is_ready_enough(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone() -> ModelReport:
        raise ModelUnavailableError("gone")

    monkeypatch.setattr(app.servers["base-small-bf16"], "report", gone)
    assert app.http.get("/readyz").status_code == 200
    assert app.http.get("/health").json()["models"]["base-small-bf16"] == "loading"


def test_a_sick_model_is_told_as_failed(app: App) -> None:
    for engine in app.engines.values():
        engine.is_healthy = False
    assert app.http.get("/health").json()["models"]["base-small-bf16"] == "failed"
    assert app.http.get("/readyz").status_code == 503


def test_a_model_that_loads_past_the_deadline_is_a_503(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never():
        await asyncio.sleep(60)

    monkeypatch.setattr(app.servers["voice-design-nf4"], "info", never)
    body = {"text": "Hello.", "description": "An old sailor", "timeout_s": 0.1}
    answer = app.http.post("/api/v1/tts/design", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
    assert "retry-after" in answer.headers


def test_the_openapi_document_tells_all_routes_and_never_422(app: App) -> None:
    document = app.http.get("/openapi.json").json()
    assert {
        "/api/v1/tts/synthesize", "/api/v1/tts/design", "/api/v1/tts/clone", "/api/v1/tts/voices",
        "/api/v1/tts/voices/{voice}", "/api/v1/status", "/v1/audio/speech", "/v1/models", "/v1/audio/voices",
        "/livez", "/readyz", "/health",
    } <= set(document["paths"])  # fmt: skip
    for path in ("/api/v1/tts/synthesize", "/api/v1/tts/design", "/v1/audio/speech"):
        responses = document["paths"][path]["post"]["responses"]
        assert {"X-Queue-Position", "X-ETA-Seconds", "X-Finish-Reason"} <= set(responses["200"]["headers"])
        assert "Retry-After" in responses["429"]["headers"]
    for path in document["paths"].values():
        for operation in path.values():
            assert "422" not in operation["responses"]
            assert "default" in operation["responses"]
