from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from deployments.config import AppConfig, is_loopback, key_digest
from deployments.memory_budget import preflight

MODEL = {"id": "m", "checkpoint": "Qwen3-TTS-12Hz-0.6B-Base", "precision": "bf16", "memory_budget_mb": 1700}
CONFIG_FILE = Path(__file__).parents[2] / "serve_config.yaml"


def parse(**settings: Any) -> AppConfig:
    return AppConfig.model_validate({"models": [MODEL], **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {"colour": "red"},
        {"models": []},
        {"models": [MODEL, MODEL]},
        {"models": [{**MODEL, "slot": 3}]},
        {"models": [{**MODEL, "id": "With Spaces"}]},
        {"models": [{**MODEL, "checkpoint": "Qwen3-TTS-25Hz"}]},
        {"models": [{**MODEL, "precision": "fp16"}]},
        {"models": [{**MODEL, "memory_budget_mb": "1700"}]},
        {"models": [{**MODEL, "memory_budget_mb": 0}]},
        {"max_body_mb": 1.5},
        {"max_body_mb": 16, "max_bodies_mb": 15},
        {"api_keys": ["a key in clear"]},
        {"api_keys": [f"sha256:{'A' * 64}"]},
    ],
)
def test_what_is_not_understood_is_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse(**settings)


def test_it_does_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError):
        parse().weights = "hub"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("weights", "source"),
    [
        ("embedded", "embedded:base"),
        ("hub", "hub:Qwen/Qwen3-TTS-12Hz-0.6B-Base"),
        ("/srv/weights", "/srv/weights/Qwen3-TTS-12Hz-0.6B-Base"),
    ],
)
def test_weights_say_where_checkpoints_come_from(weights: str, source: str) -> None:
    config = parse(weights=weights)
    assert config.source(config.models[0]) == source


def test_the_environment_overrides_and_is_checked_too() -> None:
    variables = {
        "QWEN3_TTS_WEIGHTS": "hub",
        "QWEN3_TTS_VOICES": "/srv/voices",
        "QWEN3_TTS_API_KEYS": "secret-1, secret-2",
        "QWEN3_TTS_KEYS_FILE": "/srv/keys",
    }
    config = parse().with_environment(variables)
    assert (config.weights, config.voices_directory) == ("hub", Path("/srv/voices"))
    assert config.keys_path == Path("/srv/keys")
    assert config.api_keys == (key_digest("secret-1"), key_digest("secret-2"))
    with pytest.raises(ValueError, match="empty"):
        parse().with_environment({"QWEN3_TTS_API_KEYS": "one,,two"})


def test_embedded_checkpoints_take_no_more_than_they_need() -> None:
    config = parse()
    assert config.budget_bytes(config.models[0]) < 1700 * 2**20
    config = parse(weights="hub")
    assert config.budget_bytes(config.models[0]) == 1700 * 2**20


@pytest.mark.parametrize(
    ("file", "models"),
    [
        ("serve_config.yaml", {("base-small-nf4", "base", "nf4"), ("voice-design-nf4", "voice_design", "nf4")}),
        (
            "serve_config.large.yaml",
            {
                ("base-small-fp32", "base", "fp32"),
                ("base-small-bf16", "base", "bf16"),
                ("voice-design-bf16", "voice_design", "bf16"),
                ("voice-design-nf4", "voice_design", "nf4"),
            },
        ),
    ],
)
def test_the_shipped_files_serve_within_their_budgets_on_loopback(file: str, models: set[tuple[str, str, str]]) -> None:
    document = yaml.safe_load(CONFIG_FILE.with_name(file).read_text())
    assert document["http_options"]["host"] == "127.0.0.1"
    [application] = document["applications"]
    assert (application["name"], application["import_path"]) == ("tts", "deployments.app:build")
    config = AppConfig.model_validate(application["args"])
    assert {(model.id, model.kind, model.precision) for model in config.models} == models
    for weights in ("embedded", "hub"):
        chosen = config.model_copy(update={"weights": weights})
        for model in chosen.models:
            preflight(chosen, model)
    assert config.weights == "embedded"
    assert sum(model.num_cpus for model in config.models) < 1


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.2", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
