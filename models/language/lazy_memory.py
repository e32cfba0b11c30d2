"""Memory that costs nothing: arrays until they are written to, and the heap's after it was freed."""

import ctypes
import math
import mmap
import os
from collections.abc import Sequence

import torch
from torch import Tensor


def lazy_zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Zeros on pages that the system provides as they are touched; `torch.zeros` touches them all.

    Small pages are asked for: with large ones the first position of each head would bring in its neighbours' share.
    Private memory, so it counts toward a data limit. Raises MemoryError when the limit is reached.
    """
    count = math.prod(shape)
    try:
        mapped = mmap.mmap(-1, max(1, count * dtype.itemsize), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no memory for {tuple(shape)} of {dtype}: {error}") from error
    mapped.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(mapped, dtype=dtype, count=count).view(tuple(shape))


def give_back_heap() -> None:
    """Give the heap's free pages back to the system, where the C library can (glibc can)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def touched_bytes(zeros: Tensor) -> int:
    """How much of what `lazy_zeros` made has been written to and costs memory."""
    pages = torch.zeros(-(-zeros.nbytes // mmap.PAGESIZE), dtype=torch.uint8)
    address, size = ctypes.c_void_p(zeros.data_ptr()), ctypes.c_size_t(zeros.nbytes)
    if ctypes.CDLL(None, use_errno=True).mincore(address, size, ctypes.c_void_p(pages.data_ptr())) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int((pages & 1).sum()) * mmap.PAGESIZE
