"""Who goes next. Decides, and touches no tensors."""

from collections import deque
from dataclasses import dataclass

from models.runaway import Verdict
from models.sequence import Sequence, Status
from models.types import FinishReason

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
    """Slots, and the sequences in them or waiting for one. First in, first out."""

    def __init__(self, slots: int, chunks: ChunkPolicy) -> None:
        self._free = list(range(slots - 1, -1, -1))
        self._slots = slots
        self._chunks = chunks
        self.waiting: deque[Sequence] = deque()
        self.admitted: list[Sequence] = []

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and not self.admitted

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self.waiting.append(sequence)

    def admit(self) -> list[Sequence]:
        """Give free slots to waiting sequences, in order; returns those that got one."""
        admitted: list[Sequence] = []
        while self.waiting and self._free:
            sequence = self.waiting.popleft()
            sequence.slot = self._free.pop()
            sequence.status = Status.PREFILLING
            admitted.append(sequence)
        self.admitted.extend(admitted)
        return admitted

    def prefilling(self) -> Sequence | None:
        """The one sequence whose prompt moves on in this step: the oldest."""
        return next((s for s in self.admitted if s.status is Status.PREFILLING and s.reason is None), None)

    def running(self) -> list[Sequence]:
        """The sequences that take a frame step."""
        return [s for s in self.admitted if s.status is Status.RUNNING and s.reason is None]

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

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out and free its slot."""
        if sequence in self.admitted:
            self.admitted.remove(sequence)
            self._free.append(sequence.slot)
        else:
            self.waiting.remove(sequence)

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request that has not finished."""
        return next((s for s in (*self.admitted, *self.waiting) if s.request.request_id == request_id), None)

    def check_books(self) -> None:
        """Idle means that every slot is free."""
        assert sorted(self._free) == list(range(self._slots)), self._free
