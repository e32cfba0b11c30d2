"""What this machine computes best in."""

from functools import cache
from pathlib import Path

import torch

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86 processors, and the last of Arm's


def processor_flags(cpuinfo: str) -> set[str]:
    """Flags of the first processor listed in /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(flags.split())
    return set()


@cache
def compute_dtype() -> torch.dtype:
    """What this machine multiplies bf16 weights in: bfloat16 where it has instructions for it, else float32.

    ATen's capability counts too, so that ATEN_CPU_CAPABILITY=avx2 makes a large machine behave like a small one.
    """
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        return torch.float32
    try:
        flags = processor_flags(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        return torch.float32
    return torch.bfloat16 if flags & _BF16_FLAGS else torch.float32
