"""Where a training stands, to be continued."""

from pathlib import Path
from typing import Any

import torch
from torch import nn


class Checkpoint:
    """One file, replaced whole."""

    def __init__(self, path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._path = path
        self._network = network
        self._optimizer = optimizer

    def load(self) -> int:
        """Steps done; 0 when there is no file."""
        if not self._path.exists():
            return 0
        state: dict[str, Any] = torch.load(self._path, weights_only=True)
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        return state["steps"]

    def save(self, steps: int) -> None:
        """After `steps` steps."""
        fresh = self._path.with_suffix(".new")
        state = {"network": self._network.state_dict(), "optimizer": self._optimizer.state_dict(), "steps": steps}
        torch.save(state, fresh)
        fresh.replace(self._path)
