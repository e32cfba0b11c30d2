"""What the codec's parameters are before training."""

import math

import torch
from torch import Tensor

_LAYER_SCALE = 0.3  # at the start


def initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Values to start from: neutral norms, layers that add little, unit variance through products."""
    if name.endswith("bias"):
        return torch.zeros(shape)
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    if name.endswith(("scale", "gamma")):
        return torch.full(shape, _LAYER_SCALE)
    transposed = "upsample" in name and ".0." in name
    inputs = shape[0] if transposed else math.prod(shape[1:])
    return torch.randn(shape, generator=generator) / math.sqrt(inputs)
