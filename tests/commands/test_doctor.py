"""`qwen3-tts doctor`: which of its questions is answered."""

import pytest

from benchmarks import cache
from benchmarks import doctor as examination
from commands import doctor
from deployments.config import PACKED_CACHE_MB


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ["machine"]),
        (["--cache"], ["list"]),
        (["--prune"], [f"prune {PACKED_CACHE_MB}", "list"]),
        (["--prune", "3", "--cache"], ["prune 3", "list"]),
    ],
)
def test_what_is_asked_is_answered(
    arguments: list[str], said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examination, "examine", lambda: "machine")
    monkeypatch.setattr(cache, "listing", lambda: "list")
    monkeypatch.setattr(cache, "prune", lambda limit_mb: f"prune {limit_mb}")  # pyright: ignore[reportUnknownLambdaType]
    assert doctor.main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == said
