"""Products of the torch reference, one class for each way in which weights are stored and multiplied."""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.quantization.int8 import Int8Weight, dequantize_int8
from models.quantization.nf4 import BLOCK, Nf4Weight, dequantize_nf4, nf4_values
from models.quantization.processor import compute_dtype

_CHUNK = 1 << 19  # weights expanded at a time: 2 MB of float32, which stay in a core's cache


class DenseLinear:
    """Weights multiplied as they are stored: float32, or bfloat16 on a machine that computes in it."""

    batch_invariant = False

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    @property
    def nbytes(self) -> int:
        return self._weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self._weight.dtype), self._weight).float()


class ExpandedLinear:
    """Weights expanded to float32 some rows at a time, each used for every row of the input while it is in the cache.

    Memory never holds more than a piece of the expanded matrix. Rows are multiplied one by one, so a row's product
    does not depend on the others.
    """

    batch_invariant = True

    def __init__(self, shape: Sequence[int], nbytes: int) -> None:
        self._outputs, inputs = shape
        self._step = _piece(inputs)
        self.nbytes = nbytes

    def _expand(self, first: int, last: int) -> Tensor:
        """float32 [last - first, inputs]; `first` is a multiple of the piece."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        result = torch.empty(len(x), self._outputs)
        for first in range(0, self._outputs, self._step):
            last = min(first + self._step, self._outputs)
            piece = self._expand(first, last)
            for row, values in enumerate(x):
                torch.mv(piece, values, out=result[row, first:last])
        return result


def _piece(inputs: int) -> int:
    """Rows of a matrix to expand at a time: a multiple of the block, so that no block crosses from piece to piece."""
    return max(_CHUNK // inputs // BLOCK, 1) * BLOCK


class Bf16Linear(ExpandedLinear):
    """bfloat16 weights on a machine that computes in float32."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.shape, weight.nbytes)
        self._weight = weight

    def _expand(self, first: int, last: int) -> Tensor:
        return self._weight[first:last].float()


class Int8Linear(ExpandedLinear):
    """Eight-bit weights with a scale for 64."""

    def __init__(self, weight: Int8Weight) -> None:
        super().__init__(weight.codes.shape, weight.nbytes)
        self._weight = weight

    def _expand(self, first: int, last: int) -> Tensor:
        return dequantize_int8(Int8Weight(self._weight.codes[first:last], self._weight.scales[first:last]))


class Nf4Linear(ExpandedLinear):
    """Four-bit weights, looked up piece by piece: for machines and shapes that the fused kernel has no code for."""

    def __init__(self, weight: Nf4Weight) -> None:
        super().__init__(weight.shape, weight.nbytes)
        self._weight = weight

    def _expand(self, first: int, last: int) -> Tensor:
        inputs = self._weight.shape[1]
        codes = self._weight.codes[first * inputs // 2 : -(-last * inputs // 2)]
        scales = self._weight.scales[first * inputs // BLOCK : -(-last * inputs // BLOCK)]
        return dequantize_nf4(Nf4Weight(codes, scales, (last - first, inputs)))


class FusedNf4Linear:
    """Four-bit weights in bitsandbytes' kernel, forty times faster than looking them up.

    The kernel rounds activations and scales to bfloat16, which moves a result by 0.3 % of the root mean square.
    """

    batch_invariant = True  # every row is summed alone, in the same order

    def __init__(self, weight: Nf4Weight) -> None:
        self._shape = list(weight.shape)
        self._library, self._codes, self._scales = _fused_layout(weight)
        self.nbytes = self._codes.nbytes + self._scales.nbytes

    @staticmethod
    def serves(weight: Nf4Weight) -> bool:
        """Whether the kernel has code for this machine and shape."""
        outputs, inputs = weight.shape
        return compute_dtype() == torch.bfloat16 and outputs % 32 == 0 and inputs % BLOCK == 0 and _has_fused_kernel()

    def __call__(self, x: Tensor) -> Tensor:
        codes, scales = self._codes, self._scales
        return self._library.gemv_4bit(x.bfloat16(), codes, self._shape, scales, nf4_values(), BLOCK).float()


@cache
def _bitsandbytes() -> Any:
    """bitsandbytes' functions. It complains at its import that an optional package is not there."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    from bitsandbytes import functional

    return functional


@cache
def _has_fused_kernel() -> bool:
    return torch.cpu._is_avx512_bf16_supported() and bool(_bitsandbytes().has_avx512bf16())  # pyright: ignore[reportPrivateUsage]


def _fused_layout(weight: Nf4Weight) -> tuple[Any, Tensor, Tensor]:
    """bitsandbytes' operators, and codes and scales in their order."""
    functions = _bitsandbytes()
    state = functions.QuantState(
        absmax=weight.scales,
        shape=torch.Size(weight.shape),
        dtype=torch.float32,
        blocksize=BLOCK,
        code=nf4_values(),
        quant_type="nf4",
    )
    codes, state = functions._convert_weight_packed_for_cpu(weight.codes, state)
    return torch.ops.bitsandbytes, codes, state.absmax
