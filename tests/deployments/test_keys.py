import errno
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from deployments import keys
from deployments.config import key_digest
from deployments.web.app import create_app
from tests.deployments.helpers import App, make_config

STATUS = "/api/v1/status"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def guarded(tmp_path: Path) -> App:
    return App(make_config(tmp_path / "voices", api_keys=[key_digest("first"), key_digest("zweiter-schlüssel")]))


@pytest.mark.parametrize("key", ["first", "zweiter-schlüssel"])
def test_any_of_the_keys_opens(guarded: App, key: str) -> None:
    headers = {b"Authorization": f"Bearer {key}".encode()}
    assert guarded.http.get(STATUS, headers=headers).status_code == 200


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
    app = App(make_config(tmp_path / "voices", api_keys=[key_digest("key")], open_listing=True))
    for path in (
        "/v1/models",
        "/v1/models/base-small-bf16",
        "/api/v1/tts/voices",
        "/api/v1/tts/voices/narrator_cloned",
    ):
        assert app.http.get(path).status_code == 200
    assert app.http.delete("/api/v1/tts/voices/narrator_cloned").status_code == 401
    assert app.http.post("/v1/audio/voices", json={}).status_code == 401
    assert app.http.get(STATUS).status_code == 401


def test_probes_are_answered_whoever_asks(app: App) -> None:
    elsewhere = app.client_at("192.168.0.7")
    headers = {"Host": "10.0.0.5:8000", "X-Forwarded-For": "10.0.0.1"}
    assert {elsewhere.get(path, headers=headers).status_code for path in ("/livez", "/readyz")} == {200}
    assert {elsewhere.get(path).status_code for path in ("/health", "/docs", "/openapi.json", "/metrics")} == {403}


@pytest.mark.parametrize("client", ["127.0.0.1", "192.168.0.7"])
def test_sockets_are_shut_to_those_who_may_not_ask(guarded: App, app: App, client: str) -> None:
    """No route has one yet: what is not let in is refused before any could be found."""
    keyless = 1008 if client == "192.168.0.7" else 1000  # 1000: there is no such route
    for asked, code in ((guarded.client_at(client), 1008), (app.client_at(client), keyless)):
        with pytest.raises(WebSocketDisconnect) as shut, asked.websocket_connect("/v1/audio/speech/stream"):
            pass
        assert shut.value.code == code
    with (
        pytest.raises(WebSocketDisconnect) as let_in,
        guarded.client_at(client).websocket_connect("/nowhere", headers=bearer("first")),
    ):
        pass
    assert let_in.value.code == 1000


def test_without_keys_only_this_machine_may_ask(app: App) -> None:
    assert app.client_at("192.168.0.7").get(STATUS).status_code == 403
    assert app.client_at("::ffff:192.168.0.7").get(STATUS).status_code == 403
    assert app.http.get(STATUS).status_code == 200
    assert app.client_at("::1").get(STATUS).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:3000"}, 200),
        ({"Host": "rebound.example.org"}, 403),
        ({"Host": "rebound.example.org:8000"}, 403),
        ({"Host": "ai."}, 403),
        ({"Host": ""}, 403),
        ({"Host": "192.168.0.2"}, 403),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Forwarded": "for=192.0.2.60;proto=http;by=203.0.113.43"}, 403),
        ({"X-Forwarded-For": "127.0.0.1"}, 403),
        ({"X-Forwarded-Proto": "https"}, 403),
        ({"X-Forwarded-Host": "speech.example.org"}, 403),
        ({"Via": "1.1 proxy"}, 403),
        ({"X-Real-IP": "192.0.2.60"}, 403),
    ],
)
def test_without_keys_web_pages_and_proxies_may_not(app: App, headers: dict[str, str], status: int) -> None:
    assert app.http.get(STATUS, headers=headers).status_code == status


def test_with_keys_others_may_ask_too(guarded: App) -> None:
    headers = {**bearer("first"), "Host": "speech.example.org", "Origin": "https://example.org"}
    assert guarded.client_at("192.168.0.7").get(STATUS, headers=headers).status_code == 200


def test_metrics_can_be_left_open(tmp_path: Path) -> None:
    shut, left_open = (
        App(make_config(tmp_path / "voices", api_keys=[key_digest("key")], open_metrics=value))
        for value in (False, True)
    )
    assert shut.http.get("/metrics").status_code == 401
    assert left_open.http.get("/metrics").status_code == 200
    assert left_open.http.get(STATUS).status_code == 401


def test_a_running_server_learns_of_keys(app: App) -> None:
    path = app.config.keys_path
    assert app.http.get(STATUS).status_code == 200
    key = keys.add(path, "anna")
    assert app.http.get(STATUS).status_code == 401
    assert app.http.get(STATUS, headers=bearer(key)).status_code == 200
    other = keys.add(path, "bert")
    keys.remove(path, "anna")
    assert app.http.get(STATUS, headers=bearer(key)).status_code == 401
    assert app.http.get(STATUS, headers=bearer(other)).status_code == 200
    keys.remove(path, "bert")
    assert app.http.get(STATUS).status_code == 401, "a file without keys lets nobody in"


@pytest.mark.parametrize(
    "line", ["sha256:12", "key in clear", f"{key_digest('x')} a b", f"{key_digest('x')}", "schlüssel"]
)
def test_a_line_that_cannot_be_read_costs_the_others_nothing(app: App, line: str) -> None:
    path = app.config.keys_path
    kept, removed = keys.add(path, "anna"), keys.add(path, "bert")
    assert app.http.get(STATUS, headers=bearer(kept)).json()["warnings"] == []
    path.write_text(f"{line}\n{key_digest(kept)} anna\n")
    answer = app.http.get(STATUS, headers=bearer(kept))
    assert (answer.status_code, answer.json()["warnings"]) == (200, [f"{path} holds no key in line 1"])
    assert app.http.get(STATUS, headers=bearer(removed)).status_code == 401


def test_with_the_file_its_keys_go_and_the_server_stays_shut(app: App, caplog: pytest.LogCaptureFixture) -> None:
    path = app.config.keys_path
    key = keys.add(path, "anna")
    assert app.http.get(STATUS, headers=bearer(key)).status_code == 200
    path.unlink()
    assert [app.http.get(STATUS, headers=headers).status_code for headers in (bearer(key), {})] == [401, 401]
    assert [record.getMessage() for record in caplog.records].count(f"{path} is gone, and its keys open nothing") == 1
    other = keys.add(path, "anna")
    assert app.http.get(STATUS, headers=bearer(other)).json()["warnings"] == []


def test_another_configuration_does_not_open_what_a_lost_file_has_shut(app: App) -> None:
    key = keys.add(app.config.keys_path, "anna")
    services: Any = app.http.app
    assert app.http.get(STATUS, headers=bearer(key)).status_code == 200
    app.config.keys_path.unlink()
    fixed = app.config.model_copy(update={"open_listing": True, "api_keys": (key_digest("fixed"),)})
    changed = TestClient(create_app(fixed, app.servers, services.state.services), client=("127.0.0.1", 50000))
    assert [changed.get(STATUS, headers=headers).status_code for headers in ({}, bearer(key))] == [401, 401]
    assert changed.get(STATUS, headers=bearer("fixed")).status_code == 200
    again = TestClient(create_app(app.config, app.servers, services.state.services), client=("127.0.0.1", 50000))
    assert [again.get(STATUS, headers=headers).status_code for headers in ({}, bearer("fixed"))] == [401, 401]


def test_the_lack_of_the_file_is_told_to_those_with_another_key(tmp_path: Path) -> None:
    app = App(make_config(tmp_path / "voices", api_keys=[key_digest("fixed")]))
    keys.add(app.config.keys_path, "anna")
    assert app.http.get(STATUS, headers=bearer("fixed")).json()["warnings"] == []
    app.config.keys_path.unlink()
    [warning] = app.http.get(STATUS, headers=bearer("fixed")).json()["warnings"]
    assert "is gone" in warning


def test_a_fault_of_the_moment_is_tried_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    path = app.config.keys_path
    key = keys.add(path, "anna")

    read_text = Path.read_text

    def fail(asked: Path, *arguments: Any, **options: Any) -> str:
        if asked == path:
            raise OSError(errno.EMFILE, "Too many open files")
        return read_text(asked, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", fail)
        assert [app.http.get(STATUS, headers=headers).status_code for headers in (bearer(key), {})] == [401, 401]
    assert app.http.get(STATUS, headers=bearer(key)).status_code == 200
    other = keys.add(path, "bert")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", fail)
        answer = app.http.get(STATUS, headers=bearer(key))
        assert answer.status_code == 200
        assert "Too many open files" in answer.json()["warnings"][0]
    assert app.http.get(STATUS, headers=bearer(other)).json()["warnings"] == []


def test_a_file_that_is_damaged_from_the_start_lets_nobody_in(app: App) -> None:
    app.config.keys_path.write_text("half a li")
    assert app.http.get(STATUS).status_code == 401


def test_a_key_is_kept_as_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "made" / "keys"
    key = keys.add(path, "anna")
    assert len(key.removeprefix(keys.PREFIX)) == 43
    assert key not in path.read_text()
    assert keys.read_keys(path) == {"anna": key_digest(key)}
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    for name in ("anna", "an na"):
        with pytest.raises(keys.KeyFileError):
            keys.add(path, name)
    keys.remove(path, "anna")
    assert keys.read_keys(path) == {}
    with pytest.raises(keys.KeyFileError):
        keys.remove(path, "anna")


def test_keys_of_the_environment_are_digests_at_once(tmp_path: Path) -> None:
    config = make_config(tmp_path / "voices").with_environment({"QWEN3_TTS_API_KEYS": "some-secret, other"})
    assert config.api_keys == (key_digest("some-secret"), key_digest("other"))
    assert b"some-secret" not in pickle.dumps(config)
    assert App(config).http.get(STATUS, headers=bearer("some-secret")).status_code == 200
