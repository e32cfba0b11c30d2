"""Native kernels: transformer stack, code predictor and codec decoder, each a step in one call.

The C++ sources in src/ are compiled when the package is installed. Where they were not, `available()` is False and the
torch reference serves.
"""

from models.architecture import Precision
from models.native.codec import NativeCodec
from models.native.codec_packing import PackedCodec, pack_codec, supports_codec
from models.native.library import Kernels, NativeError, available, instruction_sets, why_unavailable
from models.native.linear import NativeLinear
from models.native.packing import (
    LAYOUT_VERSION,
    PackedLinear,
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
    "NativeCodec",
    "NativeError",
    "NativeLinear",
    "NativeStack",
    "PackedCodec",
    "PackedLayer",
    "PackedLinear",
    "Precision",
    "available",
    "fits",
    "instruction_sets",
    "pack_bf16",
    "pack_codec",
    "pack_fp32",
    "pack_int8",
    "pack_nf4",
    "supports",
    "supports_codec",
    "why_unavailable",
]
