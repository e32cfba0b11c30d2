"""Keep a replica within its memory budget.

Ray's `memory` only decides where a replica may start; nothing holds it to the number. The kernel does, through
RLIMIT_DATA: it counts private writable memory (heap, anonymous maps, thread stacks) by address space, and an
allocation past it fails with MemoryError (in torch: RuntimeError), which fails one request and not the machine.
Read-only maps of weight files do not count toward it: the kernel can drop their pages at will.

Address space and resident memory differ by far: a thread reserves 8 MiB of stack and touches a few KiB. So the limit is
what is mapped now, plus what the budget leaves beyond what is resident now, plus room for a few threads; and it is put
anew every few seconds, lest address space that nobody touches eat up the budget.
"""

import resource
from pathlib import Path

from models import SpeechError

ROOM_FOR_THREADS = 128 * 2**20


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


def check(budget_bytes: int) -> None:
    """Raises MemoryBudgetError when the budget is used up already."""
    used = resident_bytes()
    if used >= budget_bytes:
        raise MemoryBudgetError(
            f"{used / 2**20:.0f} MiB resident after loading, {budget_bytes / 2**20:.0f} in the budget: raise it"
        )


def enforce(budget_bytes: int) -> None:
    """Cap this process's private memory so that it stays in its budget; call it again from time to time."""
    left = max(0, budget_bytes - resident_bytes())
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_status_bytes("VmData") + left + ROOM_FOR_THREADS, hard))
