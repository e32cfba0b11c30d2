"""What a figure was measured on."""

import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch

_PROBE_BYTES = 512 * 1024 * 1024
_INTERESTING = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Machine:
    """The processor as this process sees it, and how fast it reads memory now."""

    processor: str
    cores: int
    threads: int
    flags: tuple[str, ...]
    bandwidth: float  # bytes a second, read by `threads` threads

    def __str__(self) -> str:
        flags = " ".join(self.flags)
        return f"{self.processor}, {self.cores} cores, {self.threads} threads, {self.bandwidth / 1e9:.1f} GB/s, {flags}"


def _cpuinfo(key: str) -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return platform.processor()


def read_bandwidth(repetitions: int = 5) -> float:
    """Bytes a second at which all torch threads together read an array larger than any cache: the best of a few."""
    array = torch.ones(_PROBE_BYTES // 4)
    best = float("inf")
    for _ in range(repetitions):
        started = time.perf_counter()
        array.sum()
        best = min(best, time.perf_counter() - started)
    return _PROBE_BYTES / best


def describe_machine() -> Machine:
    """Measure bandwidth and read the rest."""
    present = set(_cpuinfo("flags").split())
    return Machine(
        processor=_cpuinfo("model name"),
        cores=len(os.sched_getaffinity(0)),
        threads=torch.get_num_threads(),
        flags=tuple(flag for flag in _INTERESTING if flag in present),
        bandwidth=read_bandwidth(),
    )


def peak_resident_mb() -> float:
    """The most memory this process ever had resident, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
