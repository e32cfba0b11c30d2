"""Weights at a precision, and products with them.

Storage precision is not compute precision: a processor without bfloat16 instructions multiplies in float32 whatever
the weights are stored as, because emulated bfloat16 is slower there than float32.
"""

from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from models.int8 import Int8Weight, dequantize_int8, quantize_int8
from models.linears import Bf16Linear, DenseLinear, FusedNf4Linear, Int8Linear, Nf4Linear
from models.nf4 import Nf4Weight, dequantize_nf4, quantize_nf4
from models.processor import compute_dtype

__all__ = [
    "PRECISIONS",
    "Int8Weight",
    "Linear",
    "Nf4Weight",
    "Precision",
    "compute_dtype",
    "dequantize_int8",
    "dequantize_nf4",
    "make_linear",
    "quantize_int8",
    "quantize_nf4",
]

Precision = Literal["fp32", "bf16", "int8", "nf4"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


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
