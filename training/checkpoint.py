"""Where a training stands, to be continued."""

from pathlib import Path
from typing import Any

import torch
from torch import nn


class Checkpoint:
    """One file, replaced whole."""

    def __init__(self, path: Path, network: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
        self._path = path
        self._network = network
        self._optimizers = optimizers

    def load(self) -> int:
        """Steps done; 0 when there is no file."""
        if not self._path.exists():
            return 0
        state: dict[str, Any] = torch.load(self._path, weights_only=True)
        self._network.load_state_dict(state["network"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return state["steps"]

    def save(self, steps: int) -> None:
        """After `steps` steps."""
        fresh = self._path.with_suffix(".new")
        optimizers = [one.state_dict() for one in self._optimizers]
        torch.save({"network": self._network.state_dict(), "optimizers": optimizers, "steps": steps}, fresh)
        fresh.replace(self._path)
