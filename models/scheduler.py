"""Who goes next. Decides, and touches no tensors."""

from collections import deque
from dataclasses import dataclass

from models.runaway import Verdict
from models.sequence import Sequence, Status
from models.types import FinishReason, Priority

_SPOKEN_OUT = (FinishReason.EOS, FinishReason.LENGTH, FinishReason.RUNAWAY)  # the last frames are still heard


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    """How many frames are turned into samples at a time: few at first, for the time to first audio, then more."""

    first: int = 2
    growth: int = 2
    largest: int = 12

    def wanted(self, decoded: int) -> int:
        """Frames of the chunk that follows `decoded` frames."""
        return min(self.largest, self.first if decoded == 0 else decoded * self.growth)


class Scheduler:
    """Slots, and the sequences in them or waiting for one: first in, first out, in two classes.

    Batch work is let in after everything interactive, stands still in its slots while anything interactive is in one,
    and gives a slot up to what finds none free. So it delays nothing by more than the step that it is in.
    The slot of an interactive text that goes on in another request is kept for that one a moment: nobody's audio stops
    in the middle because somebody else came.
    """

    KEPT_S = 0.5  # what the next passage may take to arrive on a busy machine

    def __init__(self, slots: int, chunks: ChunkPolicy) -> None:
        self._free = list(range(slots - 1, -1, -1))
        self._slots = slots
        self._chunks = chunks
        self._queues: dict[Priority, deque[Sequence]] = {priority: deque() for priority in Priority}
        self._kept_until: list[float] = []  # an entry a free slot that only what has begun may take
        self.admitted: list[Sequence] = []

    @property
    def waiting(self) -> list[Sequence]:
        """The sequences without a slot, in the order in which they will get one."""
        return [*self._queues[Priority.INTERACTIVE], *self._queues[Priority.BATCH]]

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and not self.admitted

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence: behind its class, or where it goes on with something, behind others that do."""
        queue = self._queues[sequence.priority]
        place = len(queue)
        if sequence.request.begun:
            place = next((index for index, other in enumerate(queue) if not other.request.begun), place)
        queue.insert(place, sequence)

    def preempt(self) -> list[Sequence]:
        """Batch sequences that must give up their slots now, the youngest first."""
        wanted = len(self._queues[Priority.INTERACTIVE]) - len(self._free)
        batch = [s for s in self.admitted if s.priority is Priority.BATCH]
        return sorted(batch, key=lambda s: s.submitted_at, reverse=True)[: max(0, wanted)]

    def put_back(self, sequence: Sequence) -> None:
        """Take a sequence's slot; it is the next of its class to get one again."""
        self.admitted.remove(sequence)
        self._free.append(sequence.slot)
        sequence.status = Status.WAITING
        self._queues[sequence.priority].appendleft(sequence)

    def admit(self, now: float) -> list[Sequence]:
        """Give free slots to waiting sequences, in order; returns those that got one. `now` on the monotonic clock."""
        self._kept_until = [until for until in self._kept_until if until > now]
        admitted: list[Sequence] = []
        for sequence in self.waiting:
            if sequence.request.begun:
                del self._kept_until[:1]
            if len(self._free) > len(self._kept_until):
                self._give_slot(sequence)
                admitted.append(sequence)
        return admitted

    def _give_slot(self, sequence: Sequence) -> None:
        self._queues[sequence.priority].remove(sequence)
        sequence.slot = self._free.pop()
        sequence.status = Status.PREFILLING
        self.admitted.append(sequence)

    def _moving(self) -> list[Sequence]:
        """Those whose turn it is: batch work only where there is no other."""
        lively = [s for s in self.admitted if s.reason is None]
        return [s for s in lively if s.priority is Priority.INTERACTIVE] or lively

    def prefilling(self) -> Sequence | None:
        """The one sequence whose prompt moves on in this step: the oldest."""
        return next((s for s in self._moving() if s.status is Status.PREFILLING), None)

    def running(self) -> list[Sequence]:
        """The sequences that take a frame step."""
        return [s for s in self._moving() if s.status is Status.RUNNING]

    def due(self) -> dict[int, list[Sequence]]:
        """Sequences with frames to turn into samples now, by the number of frames.

        A sequence under suspicion waits: its audio is withheld until it is clear that it is speech.
        """
        batches: dict[int, list[Sequence]] = {}
        for sequence in self.admitted:
            if not sequence.wants_audio or sequence.status is not Status.RUNNING:
                continue
            ready = sequence.frames - sequence.decoded
            if ready and self._is_due(sequence, ready):
                batches.setdefault(ready, []).append(sequence)
        return batches

    def _is_due(self, sequence: Sequence, ready: int) -> bool:
        if sequence.reason is not None:
            return sequence.reason in _SPOKEN_OUT
        return sequence.verdict is Verdict.FINE and ready >= self._chunks.wanted(sequence.decoded)

    def ended(self) -> list[Sequence]:
        """Sequences that have a reason to end."""
        return [s for s in (*self.admitted, *self.waiting) if s.reason is not None]

    def remove(self, sequence: Sequence, now: float) -> None:
        """Take a sequence that has ended out and free its slot."""
        if sequence in self.admitted:
            self.admitted.remove(sequence)
            self._free.append(sequence.slot)
            goes_on = sequence.request.text_after > 0 and sequence.reason in _SPOKEN_OUT
            if goes_on and sequence.priority is Priority.INTERACTIVE:
                self._kept_until.append(now + self.KEPT_S)
        else:
            self._queues[sequence.priority].remove(sequence)

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request that has not finished."""
        return next((s for s in (*self.admitted, *self.waiting) if s.request.request_id == request_id), None)

    def check_books(self) -> None:
        """Idle means that every slot is free."""
        assert sorted(self._free) == list(range(self._slots)), self._free
