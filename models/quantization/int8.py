"""Eight bits a weight: symmetric, with a scale for 64 weights along the inputs of an output."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_GROUP = 64


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """A matrix [outputs, inputs] in eight bits a weight: weight = code * scale of its group."""

    codes: Tensor  # int8 [outputs, inputs], -127..127
    scales: Tensor  # float32 [outputs, inputs / 64], rounded up, each a bfloat16's value

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes


def quantize_int8(weight: Tensor) -> Int8Weight:
    """Quantise a matrix [outputs, inputs] of any floating type."""
    outputs, inputs = weight.shape
    groups = F.pad(weight.float(), (0, -inputs % _GROUP)).view(outputs, -1, _GROUP)
    scales = (groups.abs().amax(dim=2) / 127).bfloat16().float()  # as the packed layout keeps them
    codes = (groups / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, :, None]).round().clamp(-127, 127)
    return Int8Weight(codes.to(torch.int8).view(outputs, -1)[:, :inputs].contiguous(), scales)


def dequantize_int8(weight: Int8Weight) -> Tensor:
    """float32 [outputs, inputs]."""
    inputs = weight.codes.shape[1]
    return weight.codes.float() * weight.scales.repeat_interleave(_GROUP, dim=1)[:, :inputs]
