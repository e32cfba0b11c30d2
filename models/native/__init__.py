"""Native kernels: the transformer stack and the code predictor, each a step in one call.

The C++ sources in src/ are compiled when the package is installed. Where they were not, `available()` is False and the
torch reference serves.
"""

from models.native.library import Kernels, NativeError, available, instruction_sets
from models.native.linear import NativeLinear
from models.native.packing import (
    LAYOUT_VERSION,
    PackedLinear,
    Precision,
    fits,
    pack_bf16,
    pack_fp32,
    pack_int8,
    pack_nf4,
)
from models.native.predictor import NativeCodePredictor
from models.native.stack import NativeStack, PackedLayer, supports

__all__ = [
    "LAYOUT_VERSION",
    "Kernels",
    "NativeCodePredictor",
    "NativeError",
    "NativeLinear",
    "NativeStack",
    "PackedLayer",
    "PackedLinear",
    "Precision",
    "available",
    "fits",
    "instruction_sets",
    "pack_bf16",
    "pack_fp32",
    "pack_int8",
    "pack_nf4",
    "supports",
]
