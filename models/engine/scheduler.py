"""Who goes next. Decides, and touches no tensors."""

from collections import deque
from collections.abc import Iterator

from models.engine.options import EngineOptions
from models.engine.pace import Pace
from models.engine.plan import Decode, FrameStep, Plan, Prefill
from models.engine.sequence import Sequence, Status
from models.request import Priority


class Scheduler:
    """Slots, and the sequences in them or waiting for one: first in, first out, in two classes.

    Work goes in rounds: a piece of prompt for one who does not run yet, a frame for everybody who does, and of the
    frames that are due as sound so many that the next round begins soon, the longest waiting first.

    Batch work is let in after everything interactive, stands still in its slots while anything interactive is in one,
    and gives a slot up to what finds none free. So it delays nothing by more than the piece that is being done.
    The slot of an interactive text that goes on in another request is kept for that one a moment: nobody's audio stops
    in the middle because somebody else came.
    """

    KEPT_S = 0.5  # what the next passage may take to arrive on a busy machine

    def __init__(self, options: EngineOptions, pace: Pace) -> None:
        self._options = options
        self._pace = pace
        self._free = list(range(options.slots - 1, -1, -1))
        self._queues: dict[Priority, deque[Sequence]] = {priority: deque() for priority in Priority}
        self._kept_until: list[float] = []  # an entry a free slot that only what has begun may take
        self._round: Iterator[Plan] = iter(())
        self.admitted: list[Sequence] = []
        self.preempted = 0  # times that batch work gave up its slot
        self.queue_wait_s = 0.0  # of all who got a slot, together

    @property
    def waiting(self) -> list[Sequence]:
        """The sequences without a slot, in the order in which they will get one."""
        return [*self._queues[Priority.INTERACTIVE], *self._queues[Priority.BATCH]]

    @property
    def present(self) -> list[Sequence]:
        """Everyone."""
        return [*self.admitted, *self.waiting]

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.admitted and not any(self._queues.values())

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence: behind its class, or where it goes on with something, behind others that do."""
        queue = self._queues[sequence.priority]
        place = len(queue)
        if sequence.request.begun:
            place = next((index for index, other in enumerate(queue) if not other.request.begun), place)
        queue.insert(place, sequence)

    def plan(self, now: float) -> Plan | None:
        """The next piece of work; None between two rounds. `now` on the monotonic clock."""
        plan = next(self._round, None)
        if plan is None:
            self._preempt()
            self._admit(now)
            self._round = self._pieces()
        return plan

    def _preempt(self) -> None:
        """Batch sequences make room for interactive ones, the youngest first, and are the next of their class to get a
        slot again."""
        wanted = len(self._queues[Priority.INTERACTIVE]) - len(self._free)
        batch = [s for s in self.admitted if s.priority is Priority.BATCH and s.reason is None]
        for sequence in sorted(batch, key=lambda s: s.submitted_at, reverse=True)[: max(0, wanted)]:
            self.admitted.remove(sequence)
            self._free.append(sequence.slot)
            sequence.status = Status.WAITING
            self._queues[Priority.BATCH].appendleft(sequence)
            self.preempted += 1

    def _admit(self, now: float) -> None:
        """Give free slots to waiting sequences, in order."""
        self._kept_until = [until for until in self._kept_until if until > now]
        for sequence in self.waiting:
            if sequence.request.begun:
                del self._kept_until[:1]
            if len(self._free) > len(self._kept_until):
                self._give_slot(sequence, now)

    def _give_slot(self, sequence: Sequence, now: float) -> None:
        self._queues[sequence.priority].remove(sequence)
        if sequence.admitted_at is None:
            self.queue_wait_s += now - sequence.submitted_at
        sequence.take_slot(self._free.pop(), now)
        self.admitted.append(sequence)

    def _pieces(self) -> Iterator[Plan]:
        """A round. Each piece is chosen when the one before it has been committed."""
        prefilling = next((s for s in self._moving() if s.status is Status.PREFILLING), None)
        if prefilling is not None:
            yield Prefill(prefilling, self._rows(prefilling))
        running = [s for s in self._moving() if s.status is Status.RUNNING and s.reason is None]
        if running:
            yield FrameStep(running)
        # No less than a round makes, or sound falls behind; nor than what is waited for most.
        least = max(len(running), self._options.chunks.first)
        allowed = max(least, self._pace.frames_decoded_in(self._options.codec_s))
        while allowed > 0 and (due := self._due()):
            plan = self._decode(due, allowed)
            yield plan
            allowed -= plan.frames * len(plan.batch)

    def _moving(self) -> list[Sequence]:
        """Those whose turn it is: batch work only where there is no other."""
        lively = [s for s in self.admitted if not s.over]
        return [s for s in lively if s.priority is Priority.INTERACTIVE] or lively

    def _rows(self, sequence: Sequence) -> int:
        batch = sequence.priority is Priority.BATCH
        return self._options.batch_prefill_rows if batch else self._options.prefill_rows

    def _due(self) -> list[Sequence]:
        """The sequences with frames to be turned into samples: interactive ones first, then the longest waiting."""
        due = [s for s in self.admitted if s.status is Status.RUNNING and s.undecoded and not s.over]
        return sorted(due, key=lambda s: (s.priority is Priority.BATCH, s.decoded_at))

    def _decode(self, due: list[Sequence], allowed: int) -> Decode:
        """The first of those who wait, and others with as many frames, which then cost less than apart."""
        first, frames = due[0], self._chunk(due[0], allowed)
        if first.alone:
            return Decode((first,), frames)
        alike = [s for s in due if not s.alone and self._chunk(s, allowed) == frames]
        return Decode(alike[: allowed // frames], frames)

    def _chunk(self, sequence: Sequence, allowed: int) -> int:
        return min(sequence.undecoded, self._options.chunks.largest, allowed)

    def remove(self, sequence: Sequence, now: float) -> None:
        """Take a sequence that is over out and free its slot."""
        if sequence in self.admitted:
            self.admitted.remove(sequence)
            self._free.append(sequence.slot)
            goes_on = sequence.request.text_after > 0 and sequence.reason is not None and sequence.reason.spoken_out
            if goes_on and sequence.priority is Priority.INTERACTIVE:
                self._kept_until.append(now + self.KEPT_S)
        else:
            self._queues[sequence.priority].remove(sequence)

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request that has not finished."""
        return next((s for s in self.present if s.request.request_id == request_id), None)

    def check_books(self) -> None:
        """Idle means that every slot is free."""
        assert sorted(self._free) == list(range(self._options.slots)), self._free
