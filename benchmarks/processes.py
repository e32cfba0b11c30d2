"""A process and all its descendants: what they call themselves, and what each takes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Usage:
    """A process at a moment."""

    process: int
    name: str
    proportional_bytes: int  # a page that n processes share counts 1/n in each
    cpu_s: float  # since it began


def process_tree(root: int) -> dict[int, str]:
    """Names by id: "ray::ServeReplica:tts:ingress", "python"."""
    found: dict[int, str] = {}
    for process in _processes(root):
        try:
            found[process.pid] = _name(process)
        except psutil.NoSuchProcess:
            continue  # it has just ended
    return found


def usages(root: int) -> list[Usage]:
    """What each process takes that may be looked at."""
    found: list[Usage] = []
    for process in _processes(root):
        try:
            times = process.cpu_times()
            memory = process.memory_full_info()
            found.append(Usage(process.pid, _name(process), memory.pss, times.user + times.system))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def bytes_by_name(processes: Iterable[Usage]) -> Counter[str]:
    """Proportional set sizes, those of processes of the same name together."""
    sizes: Counter[str] = Counter()
    for usage in processes:
        sizes[usage.name] += usage.proportional_bytes
    return sizes


def _processes(root: int) -> list[psutil.Process]:
    parent = psutil.Process(root)
    return [parent, *parent.children(recursive=True)]


def _name(process: psutil.Process) -> str:
    """The first word of its command line, which Ray replaces by a title; without a path and what Ray does just now."""
    command = process.cmdline()
    first = command[0].strip().rpartition("/")[2] if command else "ended"
    title, _, doing = first.rpartition(".")
    return title if first.startswith("ray::") and doing.isidentifier() and title else first
