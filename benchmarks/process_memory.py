"""What a process and all its descendants keep in memory, counting what they share once, and whether it grows."""

import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_S = 5.0
MIB = 2**20


def _parents() -> dict[int, list[int]]:
    """Children by parent, of every process that can be seen."""
    children: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        children[int(fields[1])].append(int(path.parent.name))
    return children


def process_tree(root: int) -> dict[int, str]:
    """A process and its descendants, with the names they give themselves: "ray::ServeReplica:tts:ingress"."""
    children = _parents()
    found = [root]
    for process in found:
        found.extend(children[process])
    return {process: _name(process) for process in found}


def _name(process: int) -> str:
    """The first word of its command line, which Ray replaces by a title; without a path and what Ray does just now."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return "ended"
    first = command.split(b"\0")[0].decode(errors="replace").strip().rpartition("/")[2]
    title, _, doing = first.rpartition(".")
    return title if first.startswith("ray::") and doing.isidentifier() and title else first


def proportional_bytes(root: int) -> Counter[str]:
    """Proportional set size of a process tree by name: a page that n processes share counts 1/n in each."""
    sizes: Counter[str] = Counter()
    for process, name in process_tree(root).items():
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        sizes[name] += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return sizes


class MemoryWatch(threading.Thread):
    """Samples the memory of a process tree until it is told to finish."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._ended = threading.Event()
        self._samples: list[tuple[float, Counter[str]]] = []  # seconds, bytes by name

    def run(self) -> None:
        began = time.monotonic()
        while not self._ended.is_set():
            self._samples.append((time.monotonic() - began, proportional_bytes(self._process)))
            self._ended.wait(SAMPLE_S)

    def finish(self) -> dict[str, Any]:
        """Start, end and peak in MiB; the slope of the second half, when caches have filled, in MiB a minute; and by
        name how much each process grew in that half."""
        self._ended.set()
        self.join()
        seconds = np.array([moment for moment, _ in self._samples])
        memory = np.array([sizes.total() for _, sizes in self._samples]) / MIB
        half = len(seconds) // 2
        enough = len(seconds) - half >= 3
        slope = float(np.polyfit(seconds[half:], memory[half:], 1)[0]) * 60 if enough else None
        middle, last = self._samples[half][1], self._samples[-1][1]
        return {
            "start_mib": round(float(memory[0])),
            "middle_mib": round(float(memory[half])),
            "end_mib": round(float(memory[-1])),
            "peak_mib": round(float(memory.max())),
            "slope_mib_a_minute": None if slope is None else round(slope, 2),
            "grown_mib": {name: round((last[name] - middle[name]) / MIB, 1) for name in sorted(last)},
        }
