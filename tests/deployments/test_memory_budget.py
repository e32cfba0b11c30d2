"""What a model will take, before anything is loaded."""

from pathlib import Path

import pytest

from deployments.config import AppConfig
from deployments.memory_budget import MemoryBudgetError, estimate, preflight
from models.architecture.memory import MIB, Setting
from tests.deployments.helpers import MODELS, make_config


def folder_config(tmp_path: Path, **model: object) -> AppConfig:
    """One Base model of full size, of which only the configuration exists."""
    return make_config(tmp_path, [{**MODELS[0], "memory_budget_mb": 4000, **model}], weights="hub")


def test_a_budget_that_suffices_says_nothing(tmp_path: Path) -> None:
    config = folder_config(tmp_path, slots=4)
    preflight(config, config.models[0])


def test_a_budget_that_is_too_small_is_refused_with_the_numbers_and_a_way_out(tmp_path: Path) -> None:
    config = folder_config(tmp_path, memory_budget_mb=2200)
    with pytest.raises(MemoryBudgetError) as refusal:
        preflight(config, config.models[0])
    said = str(refusal.value)
    needed = estimate(config, config.models[0]).total
    assert f"base-small-bf16 needs {needed / MIB:.0f} MiB (weights 1351," in said
    assert "memory_budget_mb is 2200" in said
    assert "nearest setting that fits: precision bf16, slots " in said


def test_a_budget_for_which_nothing_is_small_enough_says_so(tmp_path: Path) -> None:
    config = folder_config(tmp_path, memory_budget_mb=300)
    with pytest.raises(MemoryBudgetError, match="no setting fits"):
        preflight(config, config.models[0])


def test_settings_are_told_as_they_are_configured() -> None:
    assert str(Setting("nf4", 2, 1024)) == "precision nf4, slots 2, max_positions 1024"


def test_embedded_weights_fit_their_budget_whatever_is_configured(tmp_path: Path) -> None:
    config = make_config(tmp_path, [{**MODELS[1], "slots": 8}])
    preflight(config, config.models[0])
