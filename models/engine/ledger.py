"""Writes down what came of a piece of work. Computes nothing, so that nothing here can fail half-way."""

import logging
from collections.abc import Callable

from models.engine.options import EngineOptions
from models.engine.plan import Decoded, Disturbed, Drawn, Failed, Outcome, Prefilled
from models.engine.runaway import RunawayDetector, Verdict
from models.engine.sequence import Sequence, Status
from models.events import FinishReason
from models.seeds import derived_seed

_log = logging.getLogger(__name__)


class Ledger:
    """What a sequence is after a piece of work, and whether it ends with it."""

    def __init__(self, end_of_speech: int, options: EngineOptions) -> None:
        self._end_of_speech = end_of_speech
        self._runaway = options.runaway
        self._chunks = options.chunks

    def commit(self, outcome: Outcome) -> None:
        """Record an outcome; listeners hear of samples at once."""
        match outcome:
            case Prefilled():
                self._prefilled(outcome)
            case Drawn():
                self._drawn(outcome)
            case Decoded():
                self._decoded(outcome)
            case Failed(sequence, reason, error):
                sequence.end(reason, error)
            case Disturbed(sequence):
                sequence.primed, sequence.status, sequence.alone = None, Status.PREFILLING, True

    def _prefilled(self, outcome: Prefilled) -> None:
        sequence = outcome.sequence
        sequence.prompt, sequence.prefilled, sequence.primed = outcome.prompt, outcome.positions, outcome.primed
        if outcome.opening is not None:
            sequence.opening = outcome.opening
        if outcome.standing is None:
            return
        sequence.standing, sequence.status = outcome.standing, Status.RUNNING
        if sequence.frames == 0 and self._runaway is not None:
            sequence.detector = RunawayDetector(self._runaway, sequence.text_tokens)

    def _drawn(self, outcome: Drawn) -> None:
        sequence = outcome.sequence
        sequence.codes.append(outcome.codes)
        sequence.standing = outcome.standing
        if not outcome.finite:
            sequence.end(FinishReason.ERROR, "the model's numbers are not finite")
        elif outcome.standing.next_code == self._end_of_speech:
            sequence.end(FinishReason.EOS)
        elif _watch(sequence) is Verdict.RUNAWAY:
            _retry_or_cut(sequence)
        elif sequence.frames >= sequence.max_frames:
            sequence.end(FinishReason.LENGTH)
        else:
            self._release(sequence)

    def _release(self, sequence: Sequence) -> None:
        """Let a chunk be heard once it is whole. Under suspicion it waits until it is clear that it is speech."""
        whole = sequence.frames - sequence.released >= self._chunks.wanted(sequence.released)
        if whole and sequence.verdict is Verdict.FINE:
            sequence.released = sequence.frames

    def _decoded(self, outcome: Decoded) -> None:
        sequence = outcome.sequence
        assert sequence.primed is not None
        sequence.primed += outcome.frames
        if outcome.finite:
            tell(sequence, lambda: sequence.deliver(outcome.samples, outcome.frames))
        else:
            sequence.end(FinishReason.ERROR, "the decoded samples are not finite")


def _watch(sequence: Sequence) -> Verdict:
    if sequence.detector is not None:
        sequence.verdict = sequence.detector.add(sequence.codes[-1])
    return sequence.verdict


def _retry_or_cut(sequence: Sequence) -> None:
    """A runaway of which nothing is heard is drawn again, once; another is cut where the noise began."""
    assert sequence.detector is not None
    if not sequence.retried and not sequence.is_heard:
        sequence.restart(derived_seed(sequence.seed, 1))
        return
    del sequence.codes[max(sequence.released, sequence.frames - sequence.detector.tail) :]
    sequence.end(FinishReason.RUNAWAY)


def tell(sequence: Sequence, speak: Callable[[], None]) -> None:
    """Call a listener. It is somebody else's code: whatever it raises costs its own request only."""
    try:
        speak()
    except Exception:  # noqa: BLE001
        _log.exception("the listener of request %s failed", sequence.request.request_id)
        sequence.end(FinishReason.CANCELLED, "its listener failed")
