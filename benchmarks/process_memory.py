"""What a process and all its descendants keep in memory, counting what they share once, and whether it grows."""

import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

SAMPLE_S = 5.0


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


def process_tree(root: int) -> list[int]:
    """A process and its descendants."""
    children = _parents()
    found = [root]
    for process in found:
        found.extend(children[process])
    return found


def proportional_bytes(root: int) -> int:
    """Proportional set size of a process tree: a page that n processes share counts 1/n in each."""
    total = 0
    for process in process_tree(root):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


class MemoryWatch(threading.Thread):
    """Samples the memory of a process tree until it is told to finish."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._ended = threading.Event()
        self._samples: list[tuple[float, float]] = []  # seconds, MiB

    def run(self) -> None:
        began = time.monotonic()
        while not self._ended.is_set():
            memory = proportional_bytes(self._process) / 2**20
            self._samples.append((time.monotonic() - began, memory))
            self._ended.wait(SAMPLE_S)

    def finish(self) -> dict[str, float | None]:
        """Start, end, peak in MiB, and the slope of the second half, when caches have filled, in MiB a minute."""
        self._ended.set()
        self.join()
        seconds, memory = np.array(self._samples).T
        half = len(seconds) // 2
        enough = len(seconds) - half >= 3
        slope = float(np.polyfit(seconds[half:], memory[half:], 1)[0]) * 60 if enough else None
        return {
            "start_mib": round(float(memory[0])),
            "end_mib": round(float(memory[-1])),
            "peak_mib": round(float(memory.max())),
            "slope_mib_a_minute": None if slope is None else round(slope, 2),
        }
