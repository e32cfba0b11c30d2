"""Keep a replica within its memory budget.

Ray's `memory` only decides where a replica may start; nothing holds it to the number. The kernel does, through
RLIMIT_DATA: it counts private writable memory (heap, anonymous maps, thread stacks) by address space, and an
allocation past it fails with MemoryError (in torch: RuntimeError), which fails one request and not the machine.
Read-only maps of files do not count toward it. Of those the budget counts the weights, at their full size and whether
or not they have been touched yet: a model that has to read them from disk again for every frame is of no use. Other
mapped pages, such as those of a checkpoint that has just been packed, the kernel drops when it needs them.

Address space and resident memory differ by far: a thread reserves 8 MiB of stack and touches a few KiB. So the limit is
the address space in use now, plus what the budget leaves, plus room for a few threads; and it is put anew every few
seconds, lest address space that nobody touches eat up the budget. Caches that are reserved and not yet touched are the
exception: sequences will touch them without another allocation, so the budget counts them from the start.
"""

import resource
from collections.abc import Callable
from pathlib import Path

from deployments.config import MIB
from deployments.memory_budget import MemoryBudgetError
from models import MemoryReport
from models.architecture import BASE_FILES

ROOM_FOR_THREADS = 128 * MIB


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


def used_bytes(report: MemoryReport) -> int:
    """What counts against the budget: private memory, caches to be touched yet, mapped weights, pages of libraries."""
    return _status_bytes("RssAnon") + report.untouched + report.mapped + BASE_FILES


def check(budget_bytes: int, report: MemoryReport) -> None:
    """Raises MemoryBudgetError when a loaded model has used up the budget, whatever was estimated."""
    used = used_bytes(report)
    if used >= budget_bytes:
        raise MemoryBudgetError(
            f"the loaded model takes {used / MIB:.0f} MiB, {report.weights / MIB:.0f} of them weights and "
            f"{report.caches / MIB:.0f} caches; memory_budget_mb is {budget_bytes / MIB:.0f}: raise it, or lower slots "
            "or max_positions"
        )


def enforce(budget_bytes: int, report: MemoryReport) -> None:
    """Cap this process's private memory so that it stays in its budget; call it again from time to time."""
    left = max(0, budget_bytes - used_bytes(report))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_status_bytes("VmData") + left + ROOM_FOR_THREADS, hard))


class MemoryLimit:
    """Keeps this process in its budget while it lives. Raises MemoryBudgetError when it is used up from the start."""

    def __init__(self, budget_bytes: int, report: Callable[[], MemoryReport]) -> None:
        self._budget_bytes = budget_bytes
        self._report = report
        self._seen: tuple[int, int] | None = None
        check(budget_bytes, report())
        self.renew()

    def renew(self) -> None:
        """Put the limit anew; it stands where no MiB was touched or reserved since, as looking at every page of the
        caches takes ten milliseconds."""
        now = (_status_bytes("RssAnon") // MIB, _status_bytes("VmData") // MIB)
        if now != self._seen:
            enforce(self._budget_bytes, self._report())
            self._seen = now
