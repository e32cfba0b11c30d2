"""Keep a replica within its memory budget.

Ray's `memory` only decides where a replica may start; nothing holds it to the number. The kernel does, through
RLIMIT_DATA: it counts private writable memory (heap, anonymous maps, thread stacks) by address space, and an
allocation past it fails with MemoryError (in torch: RuntimeError), which fails one request and not the machine.
Read-only maps of files do not count toward it. Of those the budget counts the weights, at their full size and whether
or not they have been touched yet: a model that has to read them from disk again for every frame is of no use. Other
mapped pages, such as those of a checkpoint that has just been packed, the kernel drops when it needs them.

Address space and resident memory differ by far: a thread reserves 8 MiB of stack and touches a few KiB. So the limit is
the address space in use now, plus what the budget leaves, plus room for a few threads; and it is put anew every few
seconds, lest address space that nobody touches eat up the budget.
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


def used_bytes(mapped_weights: int) -> int:
    """What counts against the budget: private memory that was touched, and the mapped weights."""
    return _status_bytes("RssAnon") + mapped_weights


def check(budget_bytes: int, mapped_weights: int) -> None:
    """Raises MemoryBudgetError when the budget is used up already."""
    used = used_bytes(mapped_weights)
    if used >= budget_bytes:
        raise MemoryBudgetError(
            f"the loaded model takes {used / 2**20:.0f} MiB, {mapped_weights / 2**20:.0f} of them weights; "
            f"memory_budget_mb is {budget_bytes / 2**20:.0f}: raise it, or lower slots or max_positions"
        )


def enforce(budget_bytes: int, mapped_weights: int) -> None:
    """Cap this process's private memory so that it stays in its budget; call it again from time to time."""
    left = max(0, budget_bytes - used_bytes(mapped_weights))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_status_bytes("VmData") + left + ROOM_FOR_THREADS, hard))
