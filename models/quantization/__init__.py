"""Weights at a precision, and products with them. The definition of the values that the native kernels read."""

from models.quantization.int8 import quantize_int8
from models.quantization.linear import Linear, make_linear
from models.quantization.nf4 import quantize_nf4
from models.quantization.processor import compute_dtype

__all__ = [
    "Linear",
    "compute_dtype",
    "make_linear",
    "quantize_int8",
    "quantize_nf4",
]
