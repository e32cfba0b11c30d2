"""Memory of a process and its descendants while something else happens: how much at the most, and whether it grows."""

import threading
import time
from collections import Counter
from typing import Any

import numpy as np

from benchmarks.processes import MIB, bytes_by_name, usages


class MemoryWatch(threading.Thread):
    """Samples proportional set sizes every `every_s` seconds until it is told to finish."""

    def __init__(self, process: int, every_s: float = 5.0) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._every_s = every_s
        self._ended = threading.Event()
        self._samples: list[tuple[float, Counter[str]]] = []  # seconds, bytes by name

    def run(self) -> None:
        began = time.monotonic()
        while not self._ended.is_set():
            self._samples.append((time.monotonic() - began, bytes_by_name(usages(self._process))))
            self._ended.wait(self._every_s)

    def peak(self) -> Counter[str]:
        """End the watch; bytes by name when they were most together."""
        self._end()
        return max((sizes for _, sizes in self._samples), key=Counter[str].total)

    def growth(self) -> dict[str, Any]:
        """End the watch; start, end and peak in MiB; the slope of the second half, when caches have filled, in MiB a
        minute; and by name how much each process grew in that half."""
        self._end()
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

    def _end(self) -> None:
        self._ended.set()
        self.join()
