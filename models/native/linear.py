"""One product by a packed matrix."""

import ctypes

import torch
from torch import Tensor

from models.native.library import Kernels, check
from models.native.packing import PackedLinear
from models.native.structures import LinearStructure


class NativeLinear:
    """float32 [rows, inputs] -> float32 [rows, outputs]. A row's result depends on that row alone."""

    batch_invariant = True

    def __init__(self, packed: PackedLinear, kernels: Kernels) -> None:
        self.packed = packed
        self._kernels = kernels
        self._structure = LinearStructure.of(packed)

    @property
    def nbytes(self) -> int:
        """Bytes a product reads."""
        return self.packed.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.packed.inputs).float().contiguous()
        out = torch.empty(len(flat), self.packed.outputs)
        if len(flat):
            kernels = self._kernels
            structure = ctypes.byref(self._structure)
            check(
                kernels.library.speech_multiply(
                    kernels.handle, structure, flat.data_ptr(), len(flat), out.data_ptr(), kernels.threads
                ),
                "product",
            )
        return out.view(*x.shape[:-1], self.packed.outputs)
