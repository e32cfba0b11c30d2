"""Keep a replica within its memory budget.

Ray's `memory` only decides where a replica may start; nothing holds it to the number. The kernel does, through
RLIMIT_DATA: it counts private writable memory (heap, anonymous maps, thread stacks) by address space, and an
allocation past it fails with MemoryError (in torch: RuntimeError), which fails one request and not the machine.
Read-only maps of weight files do not count toward it: the kernel can drop their pages at will.

What is mapped and what is resident differ by far in a process that has imported Ray, so the limit is put after loading:
what is mapped by then, plus the rest of the budget.
"""

import resource
from pathlib import Path

from models import SpeechError


class MemoryBudgetError(SpeechError):
    """A model that is larger than its budget as soon as it is loaded."""


def _status_bytes(key: str) -> int:
    """A line of /proc/self/status, e.g. VmRSS, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise KeyError(key)


def resident_bytes() -> int:
    """What this process keeps in memory now."""
    return _status_bytes("VmRSS")


def peak_bytes() -> int:
    """The most it ever kept in memory."""
    return _status_bytes("VmHWM")


def enforce(budget_bytes: int) -> int:
    """Cap this process's private memory so that it stays in its budget; returns the limit set, in bytes.

    Raises MemoryBudgetError when the budget is used up already.
    """
    used = resident_bytes()
    if used >= budget_bytes:
        raise MemoryBudgetError(
            f"{used / 2**20:.0f} MiB resident after loading, {budget_bytes / 2**20:.0f} in the budget: raise it"
        )
    limit = _status_bytes("VmData") + budget_bytes - used
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    return limit
