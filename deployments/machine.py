"""What this machine grants: memory and processors, as the control group says and not as the host has them.

In a container the host's own figures mislead. A group is limited by itself and by every group above it; version 1 of
control groups keeps a tree for each controller, version 2 one tree for all.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Node:
    """A moment in the life of the machine, as this process may use it."""

    memory_bytes: int
    memory_available_bytes: int  # what can still be had; file pages that can be dropped count as available
    cores: float  # a quota may grant a part of one

    @property
    def threads(self) -> int:
        """Threads that can compute at the same time: one beyond the quota only gets all of them stopped."""
        return max(1, math.floor(self.cores + 0.5))


def read_node(root: Path = ROOT) -> Node:
    """The machine under `root`, which tests replace."""
    host = _table(root / "proc/meminfo")
    total, available = host["MemTotal:"] * 1024, host["MemAvailable:"] * 1024
    cores = float(len(os.sched_getaffinity(0)))
    for group in _groups(root):
        if (limit := _memory_limit(group)) is not None:
            total = min(total, limit)
            available = min(available, max(0, limit - _memory_taken(group)))
        cores = min(cores, _cores(group))
    return Node(total, available, cores)


def _groups(root: Path) -> Iterator[Path]:
    """Directories of the groups of this process and of those above them, as far as they can be seen from here."""
    for line in (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        trees = [root / "sys/fs/cgroup" / name for name in controllers.split(",")]
        inside = PurePosixPath(path.lstrip("/"))
        for tree in trees:
            yield from (tree / group for group in (inside, *inside.parents) if (tree / group).is_dir())


def _memory_limit(group: Path) -> int | None:
    """Bytes; None where this group sets none."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        if (granted := _text(group / name)).isdigit():
            return int(granted)
    return None


def _memory_taken(group: Path) -> int:
    """Bytes in use, without file pages that have not been read for a while."""
    usage = _text(group / "memory.current") or _text(group / "memory.usage_in_bytes") or "0"
    statistics = _table(group / "memory.stat")
    return int(usage) - statistics.get("total_inactive_file", statistics.get("inactive_file", 0))


def _cores(group: Path) -> float:
    """Processors that the group's quota grants; infinity where it sets none."""
    quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    if both := _text(group / "cpu.max").split():
        quota, period = both
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else math.inf


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows}


def _text(path: Path) -> str:
    """A small file; empty where there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
