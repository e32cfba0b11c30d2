"""Weights at a precision, and products with them.

Storage precision is not compute precision: a processor without bfloat16 instructions multiplies in float32 whatever
the weights are stored as, because emulated bfloat16 is slower there than float32.
"""

from typing import Protocol

import torch
from torch import Tensor

from models.architecture import Precision
from models.quantization.int8 import quantize_int8
from models.quantization.nf4 import quantize_nf4
from models.quantization.processor import compute_dtype
from models.quantization.torch_linears import Bf16Linear, DenseLinear, FusedNf4Linear, Int8Linear, Nf4Linear


class Linear(Protocol):
    """A product with a matrix [outputs, inputs], without bias."""

    @property
    def nbytes(self) -> int:
        """Bytes of the stored weights."""
        ...

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's product is the same bits whatever rows stand beside it."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """float32 [rows, inputs] -> float32 [rows, outputs]."""
        ...


def make_linear(weight: Tensor, precision: Precision) -> Linear:
    """A product with `weight` [outputs, inputs] stored at a precision. A bf16 weight stays where it is, mapped."""
    match precision:
        case "fp32":
            return DenseLinear(weight.float())
        case "bf16":
            stored = weight.to(torch.bfloat16)
            return DenseLinear(stored) if compute_dtype() == torch.bfloat16 else Bf16Linear(stored)
        case "int8":
            return Int8Linear(quantize_int8(weight))
        case "nf4":
            quantised = quantize_nf4(weight)
            return FusedNf4Linear(quantised) if FusedNf4Linear.serves(quantised) else Nf4Linear(quantised)
