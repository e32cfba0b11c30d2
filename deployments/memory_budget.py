"""What a configured model will take of memory, as against what its replica may take: nothing is loaded for it."""

from pathlib import Path

from deployments.config import MIB, AppConfig, ModelConfig
from models import SpeechError
from models.architecture import Dimensions, MemoryEstimate, Setting, estimate_memory, nearest_fit, read_architecture
from models.catalog import SHAPES, SHIPPED_VOICE, is_shipped


class MemoryBudgetError(SpeechError):
    """A model that does not fit its budget, as estimated or once it is loaded."""


def dimensions_of(config: AppConfig, model: ModelConfig) -> Dimensions:
    """The dimensions of a configured model, read from its folder or known. Raises CheckpointError."""
    match config.weights_source:
        case "embedded":
            return read_architecture(SHIPPED_VOICE) if is_shipped(model.kind) else SHAPES["tiny"]
        case "hub":
            return SHAPES["0.6b" if "0.6B" in model.checkpoint else "1.7b"]
        case "folder":
            return read_architecture(Path(config.source(model)))


def setting_of(model: ModelConfig) -> Setting:
    """What the configuration chooses of a model."""
    return Setting(model.precision, model.slots, model.max_positions)


def estimate(config: AppConfig, model: ModelConfig) -> MemoryEstimate:
    """What a configured model will take at most. Needs no weights. Raises CheckpointError."""
    return estimate_memory(dimensions_of(config, model), model.kind, setting_of(model))


def preflight(config: AppConfig, model: ModelConfig) -> None:
    """Raises MemoryBudgetError, with the numbers and the nearest setting that fits, for a budget that is too small."""
    needed, budget = estimate(config, model), config.budget_bytes(model)
    if needed.total <= budget:
        return
    fit = nearest_fit(dimensions_of(config, model), model.kind, setting_of(model), budget)
    way_out = "no setting fits" if fit is None else f"the nearest setting that fits: {fit}"
    raise MemoryBudgetError(
        f"{model.id} needs {needed}, memory_budget_mb is {budget / MIB:.0f}; {way_out}, or raise the budget"
    )
