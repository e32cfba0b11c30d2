"""The door of an engine: who may come in, and how long they will have to wait.

A prediction lays the expected frames of what runs and waits ahead out over the slots, in the order in which they will
be served, and multiplies the frame steps until a slot is free by the measured seconds of one.
"""

import heapq
import threading
from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass

from models.engine.pace import Pace
from models.engine.sequence import Sequence
from models.errors import OverloadedError
from models.events import Accepted
from models.request import Priority


@dataclass(frozen=True, slots=True)
class Forecast:
    """What comes before a request, in seconds."""

    position: int  # 0: it starts at once
    start_s: float  # until it starts
    next_start_s: float  # until the first of those who wait starts


class Slots:
    """When each slot will be free, in frame steps from now."""

    def __init__(self, count: int, busy: Iterable[float]) -> None:
        taken = list(busy)
        self._free_at = [*taken, *[0.0] * (count - len(taken))]
        heapq.heapify(self._free_at)

    @property
    def first(self) -> float:
        """When the first slot is free."""
        return self._free_at[0]

    @property
    def last(self) -> float:
        """When all slots are free."""
        return max(self._free_at)

    def take(self, frames: float) -> float:
        """Give the slot that is free first away for so long; returns when that begins."""
        start = self._free_at[0]
        heapq.heapreplace(self._free_at, start + frames)
        return start


class Admission:
    """Everyone from the moment of being accepted to the end. Called from any thread."""

    def __init__(self, slots: int, max_waiting: int, pace: Pace) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._pace = pace
        self._lock = threading.Lock()
        self._present: list[Sequence] = []  # in the order of arrival
        self._rejected = 0

    def enter(self, sequence: Sequence) -> Accepted:
        """Let a sequence in. Raises OverloadedError when the waiting room is full, or when it would be answered after
        its deadline."""
        with self._lock:
            forecast = self._forecast(sequence.priority)
            if not sequence.request.begun:
                self._check(sequence, forecast)
            self._present.append(sequence)
        return Accepted(sequence.seed, forecast.position, forecast.start_s)

    def leave(self, sequence: Sequence) -> None:
        """A sequence that has ended."""
        with self._lock:
            self._present.remove(sequence)

    def waiting(self, priority: Priority) -> int:
        """How many of a class have no slot."""
        with self._lock:
            return sum(not s.has_slot for s in self._of(priority))

    @property
    def queued_audio_s(self) -> float:
        """Seconds of audio that are still to be made, as expected."""
        with self._lock:
            return self._pace.seconds_per_frame * sum(map(self._left, self._present))

    @property
    def rejected(self) -> int:
        """How many were turned away."""
        return self._rejected

    def _check(self, sequence: Sequence, forecast: Forecast) -> None:
        timeout_s, start_s = sequence.request.timeout_s, forecast.start_s
        if forecast.position > self._max_waiting:
            self._rejected += 1
            raise OverloadedError(f"{forecast.position - 1} requests are waiting, no more may", forecast.next_start_s)
        if timeout_s is not None and start_s > timeout_s:
            self._rejected += 1
            message = f"it would start in about {start_s:.1f} s, after its deadline of {timeout_s} s"
            raise OverloadedError(message, start_s - timeout_s)

    def _forecast(self, priority: Priority) -> Forecast:
        """What a newcomer of a class finds: batch work comes after everything, and moves while nothing else does."""
        slots, ahead = self._served(Priority.INTERACTIVE, 0.0)
        if priority is Priority.BATCH:
            slots, batch = self._served(priority, slots.last)
            ahead += batch
        later = [start for start in ahead if start > 0.0]
        step_s = self._pace.step_seconds(max(1, min(self._slots, len(self._present))))
        position = len(later) + 1 if slots.first > 0.0 else 0
        return Forecast(position, step_s * slots.first, step_s * min(later, default=slots.first))

    def _served(self, priority: Priority, begin: float) -> tuple[Slots, list[float]]:
        """The slots once a class has been served from `begin` on, and when those of it that wait will start."""
        present = self._of(priority)
        running = [begin + self._left(s) for s in present if s.has_slot]
        slots = Slots(self._slots, [*running, *[begin] * (self._slots - len(running))])
        return slots, [slots.take(self._left(s)) for s in present if not s.has_slot]

    def _of(self, priority: Priority) -> Many[Sequence]:
        return [s for s in self._present if s.priority is priority]

    def _left(self, sequence: Sequence) -> float:
        """Frames that a sequence, and what follows it, is still expected to take; one at least."""
        request = sequence.request
        expected = self._pace.expected_frames(sequence.text_tokens)
        following = expected * request.text_after / len(request.text)
        return max(1.0, min(expected, sequence.max_frames) - sequence.frames) + following
