"""The engine's loop: schedule, run, commit. Knows no threads; `Engine` runs it in one."""

import logging
import time
from collections.abc import Callable

import numpy as np

from models.admission import Admission
from models.engine_options import EngineOptions
from models.errors import SpeechError, is_out_of_memory
from models.meter import Meter
from models.runaway import RunawayDetector, Verdict
from models.runner import Runner
from models.scheduler import Scheduler
from models.seeds import derived_seed
from models.sequence import Sequence, Status
from models.types import FinishReason, Priority

_log = logging.getLogger(__name__)


class Loop:
    """Moves all sequences on, one frame a step."""

    def __init__(
        self, runner: Runner, options: EngineOptions, end_of_speech: int, meter: Meter, admission: Admission
    ) -> None:
        self._runner = runner
        self._options = options
        self._end_of_speech = end_of_speech
        self._meter = meter
        self._admission = admission
        self.scheduler = Scheduler(options.slots, options.chunks)

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
            self._end(sequence, FinishReason.CANCELLED)

    def extend(self, request_id: str, deadline: float) -> None:
        """Put a request's deadline off; unknown and finished ones are left alone."""
        sequence = self.scheduler.find(request_id)
        if sequence is not None:
            sequence.deadline = max(sequence.deadline, deadline)

    def abort_all(self, message: str) -> None:
        """Answer everybody who is still waiting for something."""
        for sequence in (*self.scheduler.admitted, *self.scheduler.waiting):
            self._end(sequence, FinishReason.CANCELLED, message)
        self._retire()

    def step(self) -> None:
        """One frame for everybody who runs, one piece of prompt for one who does not yet."""
        started = time.monotonic()
        self._check_deadlines(started)
        self._retire()
        self._give_slots(started)
        if (prefilling := self.scheduler.prefilling()) is not None:
            self._guarded([prefilling], lambda: self._prefill(prefilling))
        running = self.scheduler.running()
        if running:
            self._guarded(running, lambda: self._frame(running))
        for frames, due in self.scheduler.due().items():
            self._guarded(due, lambda frames=frames, due=due: self._speak(due, frames))
        self._retire()
        self._meter.step(len(running), time.monotonic() - started)

    def _give_slots(self, now: float) -> None:
        """Who is to have a slot from this step on: batch work makes room first."""
        for sequence in self.scheduler.preempt():
            self._guarded([sequence], lambda sequence=sequence: self._runner.park(sequence))
            self.scheduler.put_back(sequence)
            self._meter.preempted += 1
        for sequence in self.scheduler.admit(now):
            if sequence.admitted_at is None:
                sequence.admitted_at = now
                self._meter.admitted(sequence)
            self._guarded([sequence], lambda sequence=sequence: self._start(sequence))

    def _guarded(self, batch: list[Sequence], act: Callable[[], None]) -> None:
        """Do something for a batch; what it raises ends the batch's sequences and nothing else."""
        try:
            act()
        except (SpeechError, RuntimeError, MemoryError, ValueError, IndexError) as error:
            if is_out_of_memory(error):
                self._shed(batch[-1])
                return
            ids = ", ".join(sequence.request.request_id for sequence in batch)
            _log.exception("%d sequences failed", len(batch), extra={"request_id": ids})
            for sequence in batch:
                self._end(sequence, FinishReason.ERROR, f"{type(error).__name__}: {error}")

    def _shed(self, sequence: Sequence) -> None:
        """Memory ran out: one sequence, the one admitted last, makes room, and the others try again."""
        _log.warning("no memory left for a request", extra={"request_id": sequence.request.request_id})
        self._runner.forget_prefixes()
        others = [other for other in self.scheduler.admitted if other is not sequence and other.reason is None]
        reason = FinishReason.MEMORY if others else FinishReason.TOO_LARGE
        self._end(sequence, reason, "there was no memory left for this request")

    def _start(self, sequence: Sequence) -> None:
        self._runner.start(sequence)
        if sequence.frames == 0:
            self._watch_anew(sequence)

    def _watch_anew(self, sequence: Sequence) -> None:
        assert sequence.prompt is not None
        if self._options.runaway is not None:
            sequence.detector = RunawayDetector(self._options.runaway, sequence.prompt.text_tokens)

    def _prefill(self, sequence: Sequence) -> None:
        batch = sequence.priority is Priority.BATCH
        rows = self._options.batch_prefill_rows if batch else self._options.prefill_rows
        if self._runner.prefill(sequence, rows):
            sequence.status = Status.RUNNING

    def _frame(self, batch: list[Sequence]) -> None:
        step = self._runner.frame_step(batch)
        for sequence, next_code, broken in zip(batch, step.next_codes, step.broken, strict=True):
            sequence.next_code = next_code
            if broken:
                self._end(sequence, FinishReason.ERROR, "the model's numbers are not finite")
            elif next_code == self._end_of_speech:
                self._end(sequence, FinishReason.EOS)
            elif self._watch(sequence) is Verdict.RUNAWAY:
                self._retry_or_cut(sequence)
            elif sequence.frames >= sequence.max_frames:
                self._end(sequence, FinishReason.LENGTH)

    def _watch(self, sequence: Sequence) -> Verdict:
        if sequence.detector is not None:
            sequence.verdict = sequence.detector.add(sequence.codes[-1])
        return sequence.verdict

    def _retry_or_cut(self, sequence: Sequence) -> None:
        """A runaway of which nothing was heard is drawn again, once; another is cut where the noise began."""
        assert sequence.detector is not None
        if not sequence.retried and not sequence.has_emitted:
            sequence.restart(derived_seed(sequence.seed, 1))
            self._start_over(sequence)
            return
        del sequence.codes[max(sequence.decoded, sequence.frames - sequence.detector.tail) :]
        self._end(sequence, FinishReason.RUNAWAY)

    def _start_over(self, sequence: Sequence) -> None:
        self._watch_anew(sequence)
        if sequence.wants_audio:
            self._runner.rewind_codec(sequence)
        self._runner.reopen(sequence)

    def _speak(self, batch: list[Sequence], frames: int) -> None:
        for sequence, samples in zip(batch, self._runner.speak(batch, frames), strict=True):
            if not np.isfinite(samples).all():
                sequence.reason, sequence.error = FinishReason.ERROR, "the decoded samples are not finite"
                continue
            self._tell(sequence, lambda sequence=sequence, samples=samples: sequence.deliver(samples, frames))

    def _check_deadlines(self, now: float) -> None:
        for sequence in (*self.scheduler.admitted, *self.scheduler.waiting):
            if now > sequence.deadline:
                self._end(sequence, FinishReason.DEADLINE, f"the deadline of {sequence.request.timeout_s} s passed")

    def _end(self, sequence: Sequence, reason: FinishReason, error: str | None = None) -> None:
        """Give a sequence its reason, the first one stands; `_retire` does the rest."""
        if sequence.reason is None:
            sequence.reason, sequence.error = reason, error

    def _retire(self) -> None:
        for sequence in self.scheduler.ended():
            self.scheduler.remove(sequence, time.monotonic())
            self._meter.finished(sequence)
            self._admission.leave(sequence)
            self._tell(sequence, sequence.close)
            _log.info("utterance ended", extra=_fields(sequence))

    def _tell(self, sequence: Sequence, speak: Callable[[], None]) -> None:
        """Call a listener. It is somebody else's code: whatever it raises costs its own request only."""
        try:
            speak()
        except Exception:  # noqa: BLE001
            _log.exception("the listener of request %s failed", sequence.request.request_id)
            self._end(sequence, FinishReason.CANCELLED, "its listener failed")


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
