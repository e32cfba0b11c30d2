"""What the codec's parameters are before training."""

import math

import torch
from torch import Tensor

_LAYER_SCALE = 0.3  # at the start
_NEARLY_LINEAR = -2.5  # logarithm of a snake's frequency that leaves its input nearly as it is


def initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Values to start from: neutral norms, layers that add nothing, unit variance through products."""
    if name.endswith(("beta", "bias")):
        return torch.zeros(shape)
    if name.endswith("alpha"):
        return torch.full(shape, _NEARLY_LINEAR)
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    if name.endswith(("scale", "gamma")):
        return torch.full(shape, _LAYER_SCALE)
    transposed = len(shape) == 3 and ("block.1." in name or ("upsample" in name and ".0." in name))
    inputs = shape[0] * (2 if "block.1." in name else 1) if transposed else math.prod(shape[1:])
    gain = 0.0 if "conv2" in name else 1.0
    return torch.randn(shape, generator=generator) * gain / math.sqrt(inputs)
