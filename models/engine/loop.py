"""The engine's loop: plan, run, commit. Knows no threads; `Engine` runs it in one."""

import logging
import time
from collections.abc import Sequence as Many

from models.engine.admission import Admission
from models.engine.ledger import Ledger, tell
from models.engine.meter import Meter
from models.engine.plan import Decode, Disturbed, Failed, FrameStep, Outcome, Plan, Prefill
from models.engine.runner import Runner
from models.engine.scheduler import Scheduler
from models.engine.sequence import Sequence
from models.errors import SpeechError, is_out_of_memory
from models.events import FinishReason

_log = logging.getLogger(__name__)

_FAULTS = (SpeechError, RuntimeError, MemoryError, ValueError, IndexError)  # what work on one request may raise


class Loop:
    """Moves all sequences on, a piece of work at a time."""

    def __init__(
        self, scheduler: Scheduler, runner: Runner, ledger: Ledger, meter: Meter, admission: Admission
    ) -> None:
        self.scheduler = scheduler
        self._runner = runner
        self._ledger = ledger
        self._meter = meter
        self._admission = admission
        self._width = 0  # sequences that got a frame in this round
        self._round_s = 0.0  # seconds of this round

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.scheduler.idle

    @property
    def rest_s(self) -> float:
        """How long nothing will come of going round: those who wait do so for one who has not arrived."""
        return 0.0 if self.scheduler.admitted else 0.01

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self.scheduler.add(sequence)

    def abort(self, request_id: str) -> None:
        """End a request, wherever it is; unknown and finished ones are left alone."""
        sequence = self.scheduler.find(request_id)
        if sequence is not None:
            sequence.end(FinishReason.CANCELLED)

    def extend(self, request_id: str, deadline: float) -> None:
        """Put a request's deadline off; unknown and finished ones are left alone."""
        sequence = self.scheduler.find(request_id)
        if sequence is not None:
            sequence.deadline = max(sequence.deadline, deadline)

    def abort_all(self, message: str) -> None:
        """Answer everybody who is still waiting for something."""
        for sequence in self.scheduler.present:
            sequence.end(FinishReason.CANCELLED, message)
        self._retire(time.monotonic())

    def step(self) -> None:
        """One piece of work."""
        started = time.monotonic()
        self._retire(started)
        plan = self.scheduler.plan(started)
        for outcome in self._run(plan):
            self._ledger.commit(outcome)
        self._measure(plan, time.monotonic() - started)

    def _run(self, plan: Plan | None) -> Many[Outcome]:
        """What came of a piece. What fails for several is done again for each alone, sound once its past has been gone
        through again: only who is at fault has to go."""
        if plan is None:
            return ()
        try:
            return self._runner.run(plan)
        except _FAULTS as error:
            batch = (plan.sequence,) if isinstance(plan, Prefill) else plan.batch
            if is_out_of_memory(error):
                return (self._shed(batch[-1]), *_beside(plan, batch[:-1]))
            if len(batch) > 1:
                return _beside(plan, batch) or [o for sequence in batch for o in self._run(FrameStep((sequence,)))]
            _log.exception("a request failed", extra={"request_id": batch[0].request.request_id})
            return (Failed(batch[0], FinishReason.ERROR, f"{type(error).__name__}: {error}"),)

    def _shed(self, sequence: Sequence) -> Failed:
        """Memory ran out: one sequence, the one admitted last, makes room, and the others try again."""
        _log.warning("no memory left for a request", extra={"request_id": sequence.request.request_id})
        self._runner.forget_prefixes()
        others = any(other is not sequence and other.reason is None for other in self.scheduler.admitted)
        reason = FinishReason.MEMORY if others else FinishReason.TOO_LARGE
        return Failed(sequence, reason, "there was no memory left for this request")

    def _retire(self, now: float) -> None:
        """Those whose time is up, or for whom nothing is left to be done, go."""
        for sequence in self.scheduler.present:
            if now > sequence.deadline:
                sequence.end(FinishReason.DEADLINE, f"the deadline of {sequence.request.timeout_s} s passed")
            if sequence.over:
                self._let_go(sequence, now)

    def _let_go(self, sequence: Sequence, now: float) -> None:
        tell(sequence, sequence.let_out)
        self.scheduler.remove(sequence, now)
        self._meter.finished(sequence)
        self._admission.leave(sequence)
        tell(sequence, sequence.close)
        _log.info("utterance ended", extra=_fields(sequence))

    def _measure(self, plan: Plan | None, seconds: float) -> None:
        self._round_s += seconds
        match plan:
            case FrameStep(batch):
                self._width = len(batch)
            case Decode(batch, frames):
                self._meter.decoded(frames * len(batch), seconds)
            case Prefill():
                pass
            case None:
                self._meter.round(self._width, self._round_s)
                self._width, self._round_s = 0, 0.0


def _beside(plan: Plan, batch: Many[Sequence]) -> list[Outcome]:
    """A frame can be drawn again; what the codec decoder has gone past cannot, as it may have been heard half-way."""
    return [Disturbed(sequence) for sequence in batch] if isinstance(plan, Decode) else []


def _fields(sequence: Sequence) -> dict[str, object]:
    """How a sequence ended, for the log: numbers and names, never what was spoken."""
    first = sequence.first_chunk_at
    return {
        "request_id": sequence.request.request_id,
        "outcome": str(sequence.reason),
        "frames": sequence.frames,
        "ttfa_s": None if first is None else first - sequence.submitted_at,
        "duration_s": time.monotonic() - sequence.submitted_at,
    }
