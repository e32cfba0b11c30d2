from pathlib import Path

import pytest
from starlette.testclient import TestClient

from deployments.http_app import create_app
from tests.deployments.helpers import App, make_config

STATUS = "/api/v1/status"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def guarded(tmp_path: Path) -> App:
    return App(make_config(tmp_path, api_keys=["first", "zweiter-schlüssel"]))


def test_any_of_the_keys_opens(guarded: App) -> None:
    assert guarded.http.get(STATUS, headers=bearer("first")).status_code == 200


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(""), {"Authorization": "Basic first"}, bearer("firs")])
def test_without_a_valid_key_it_stays_shut(guarded: App, headers: dict[str, str]) -> None:
    answer = guarded.http.get(STATUS, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/docs", "/openapi.json"])
def test_probes_and_documents_need_no_key(guarded: App, path: str) -> None:
    assert guarded.http.get(path).status_code == 200


def test_listing_can_be_left_open(tmp_path: Path) -> None:
    app = App(make_config(tmp_path, api_keys=["key"], open_listing=True))
    assert app.http.get("/v1/models").status_code == 200
    assert app.http.post("/v1/audio/voices", json={}).status_code == 401
    assert app.http.get(STATUS).status_code == 401


def test_without_keys_only_this_machine_may_ask(app: App) -> None:
    remote = TestClient(create_app(app.config, app.servers), client=("192.168.0.7", 40000))
    assert remote.get(STATUS).status_code == 403
    assert app.http.get(STATUS).status_code == 200


def test_with_keys_others_may_ask_too(guarded: App) -> None:
    remote = TestClient(create_app(guarded.config, guarded.servers), client=("192.168.0.7", 40000))
    assert remote.get(STATUS, headers=bearer("first")).status_code == 200
