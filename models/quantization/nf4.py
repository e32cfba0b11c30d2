"""NF4 as bitsandbytes defines it, bit for bit, in plain torch: bitsandbytes costs three seconds and 120 MB to import.

Four-bit NormalFloat (Dettmers et al., QLoRA, 2023): blocks of 64 weights share a scale, their largest magnitude, and
each weight is one of sixteen values in -1..1. Double quantisation keeps the scales, less their mean, as eight-bit
codes in blocks of 256 that share a scale in turn; what is kept here are the scales that those codes stand for.
"""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 64  # weights that share a scale, counted row by row
_SCALE_BLOCK = 256  # scales that share a scale
_STEPS = 65535
_EXPONENTS = 7  # of the eight-bit codes: decades that they cover
_VALUES = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


@dataclass(frozen=True, slots=True)
class Nf4Weight:
    """A matrix [outputs, inputs] in four bits a weight."""

    codes: Tensor  # uint8 [outputs * inputs / 2], row by row, the earlier weight in the high nibble
    scales: Tensor  # float32 [outputs * inputs / 64], rounded up, after double dequantisation
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes


@cache
def nf4_values() -> Tensor:
    """The sixteen values, float32, by code."""
    return torch.tensor(_VALUES)


@cache
def _pairs() -> Tensor:
    """The two weights of each byte, float32 [256, 2], as one float64 each so that one lookup fetches both."""
    values = nf4_values()
    return torch.stack((values.repeat_interleave(16), values.repeat(16)), dim=1).view(torch.float64).flatten()


@cache
def _scale_values() -> Tensor:
    """The 256 values of the eight-bit codes of scales, float32, rising: bitsandbytes' signed dynamic map."""
    values = [0.0, 1.0]
    for exponent in range(_EXPONENTS):
        bounds = torch.linspace(0.1, 1, 2**exponent + 1, dtype=torch.float32)
        steps = (bounds[:-1] + bounds[1:]) / 2.0
        magnitudes = (10 ** (exponent - _EXPONENTS + 1)) * steps
        values += magnitudes.tolist() + (-magnitudes).tolist()
    return torch.tensor(sorted(values), dtype=torch.float32)


@cache
def _scale_table() -> Tensor:
    """For each of 65,536 equal steps from -1 to 1 the value nearest to it: on a CPU, bitsandbytes looks a scale's code
    up in such a table, so that a scale near the middle between two values may get the farther one."""
    values = _scale_values()
    middles = (values[1:].double() + values[:-1].double()) / 2
    steps = torch.arange(_STEPS + 1, dtype=torch.float64) * (2 / _STEPS) - 1
    return values[torch.bucketize(steps, middles)]


def _blocks(flat: Tensor, size: int) -> Tensor:
    """[blocks, size], the last block filled up with zeros."""
    return F.pad(flat, (0, -len(flat) % size)).view(-1, size)


def _twice_quantised(scales: Tensor) -> Tensor:
    """The scales that remain after their own quantisation."""
    offset = scales.mean()
    blocks = _blocks(scales - offset, _SCALE_BLOCK)
    largest = blocks.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    steps = ((blocks * (1.0 / largest) + 1.0) * (_STEPS / 2) + 0.5).long().clamp(0, _STEPS)
    return (_scale_table()[steps] * largest).flatten()[: len(scales)] + offset


def quantize_nf4(weight: Tensor) -> Nf4Weight:
    """Quantise a matrix [outputs, inputs] of any floating type."""
    outputs, inputs = weight.shape
    blocks = _blocks(weight.reshape(-1).float(), BLOCK)
    scales = blocks.abs().amax(dim=1)
    normed = (blocks * (1.0 / scales.clamp(min=1e-38))[:, None]).clamp(-1, 1)
    values = nf4_values()
    codes = torch.bucketize(normed, (values[:-1] + values[1:]) / 2, out_int32=True).to(torch.uint8)
    codes = codes.flatten()[: -(-weight.numel() // 2) * 2]
    return Nf4Weight((codes[::2] << 4) | codes[1::2], _twice_quantised(scales), (outputs, inputs))


def dequantize_nf4(weight: Nf4Weight) -> Tensor:
    """float32 [outputs, inputs]."""
    outputs, inputs = weight.shape
    values = torch.index_select(_pairs(), 0, weight.codes.int()).view(torch.float32)
    blocks = _blocks(values[: outputs * inputs], BLOCK) * weight.scales[:, None]
    return blocks.flatten()[: outputs * inputs].view(outputs, inputs)
