"""Slots and queues: numbers only, no engine."""

import pytest

from models import FinishReason, Priority, SamplingSettings, SynthesisRequest
from models.engine.options import ChunkPolicy, EngineOptions
from models.engine.pace import Pace
from models.engine.plan import Decode, FrameStep, Plan, Prefill
from models.engine.scheduler import Scheduler
from models.engine.sequence import Sequence, Status
from models.text.layout import Layout

NOW = 100.0
CHUNKS = ChunkPolicy(first=2, growth=2, largest=6)


def _scheduler(slots: int = 2, decoded_a_second: int = 160) -> Scheduler:
    pace = Pace(slots, 0.08, 1.0, 4.0)
    for _ in range(300):
        pace.decoded(decoded_a_second, 1.0)
    return Scheduler(EngineOptions(slots=slots, chunks=CHUNKS, codec_s=0.101), pace)


def _add(scheduler: Scheduler, name: str, batch: bool = False, begun: bool = False, text_after: int = 0) -> Sequence:
    priority = Priority.BATCH if batch else Priority.INTERACTIVE
    request = SynthesisRequest(name, priority=priority, begun=begun, text_after=text_after, request_id=name)
    sequence = Sequence(request, lambda _: None, Layout([0]), SamplingSettings(), 1, 100)
    scheduler.add(sequence)
    return sequence


def _names(sequences: list[Sequence]) -> list[str]:
    return [sequence.request.request_id for sequence in sequences]


def _round(scheduler: Scheduler, now: float = NOW) -> list[Plan]:
    """The pieces of the round that has begun, as if each were done at once; then slots are given out anew."""
    pieces: list[Plan] = []
    while (plan := scheduler.plan(now)) is not None:
        pieces.append(plan)
        _do(plan)
    return pieces


def _do(plan: Plan) -> None:
    match plan:
        case Prefill(sequence, _):
            sequence.status = Status.RUNNING
        case FrameStep(batch):
            for sequence in batch:
                sequence.codes.append([0])
                if sequence.frames - sequence.released >= CHUNKS.largest:
                    sequence.released = sequence.frames
        case Decode(batch, frames):
            for sequence in batch:
                sequence.decoded += frames
                sequence.decoded_at = max(NOW, sequence.decoded_at) + 1


def _turn(scheduler: Scheduler, now: float = NOW) -> list[str]:
    """What happens about slots between two rounds; returns who got one."""
    before = list(scheduler.admitted)
    _round(scheduler, now)
    for sequence in scheduler.admitted:
        sequence.status = Status.RUNNING
    return _names([sequence for sequence in scheduler.admitted if sequence not in before])


def _running(scheduler: Scheduler) -> list[str]:
    """Who takes the next frame step."""
    return _names([s for plan in _round(scheduler) if isinstance(plan, FrameStep) for s in plan.batch])


def test_first_come_first_served_and_batch_last() -> None:
    scheduler = _scheduler(slots=4)
    for name, batch in (("a", False), ("x", True), ("b", False), ("y", True), ("c", False)):
        _add(scheduler, name, batch)
    assert _names(scheduler.waiting) == ["a", "b", "c", "x", "y"]
    assert _turn(scheduler) == ["a", "b", "c", "x"]


def test_batch_work_stands_still_beside_interactive_work() -> None:
    scheduler = _scheduler()
    _add(scheduler, "x", batch=True)
    _turn(scheduler)
    assert _running(scheduler) == ["x"]
    interactive = _add(scheduler, "a")
    _turn(scheduler)
    assert _running(scheduler) == ["a"]
    interactive.reason = FinishReason.EOS
    assert _running(scheduler) == ["x"]


def test_the_youngest_batch_work_gives_way_and_is_the_next_to_return() -> None:
    scheduler = _scheduler()
    for name in ("x", "y", "z"):
        _add(scheduler, name, batch=True)
    _turn(scheduler)
    interactive = _add(scheduler, "a")
    assert _turn(scheduler) == ["a"]
    assert _names(scheduler.admitted) == ["x", "a"]
    assert _names(scheduler.waiting) == ["y", "z"]
    _add(scheduler, "b")
    assert _turn(scheduler) == ["b"]
    assert _names(scheduler.waiting) == ["x", "y", "z"]
    scheduler.remove(interactive, NOW)
    assert _turn(scheduler) == ["x"]


def test_nobody_gives_way_where_a_slot_is_free_or_to_batch_work() -> None:
    scheduler = _scheduler()
    _add(scheduler, "x", batch=True)
    _turn(scheduler)
    _add(scheduler, "a")
    assert _turn(scheduler) == ["a"]
    _add(scheduler, "y", batch=True)
    assert _turn(scheduler) == []
    assert (_names(scheduler.admitted), scheduler.preempted) == (["x", "a"], 0)


def test_what_has_begun_goes_before_what_has_not() -> None:
    scheduler = _scheduler()
    _add(scheduler, "a")
    for name in ("b", "c"):
        _add(scheduler, name, begun=True)
    assert _names(scheduler.waiting) == ["b", "c", "a"]


@pytest.mark.parametrize(("reason", "kept"), [(FinishReason.EOS, True), (FinishReason.CANCELLED, False)])
def test_the_slot_of_a_text_that_goes_on_is_kept_for_it_a_moment(reason: FinishReason, kept: bool) -> None:
    scheduler = _scheduler(slots=1)
    passage = _add(scheduler, "passage 1", text_after=20)
    _add(scheduler, "a")
    _turn(scheduler)
    passage.reason = reason
    scheduler.remove(passage, NOW)
    assert _turn(scheduler) == ([] if kept else ["a"])
    if kept:
        _add(scheduler, "passage 2", begun=True)
        assert _turn(scheduler) == ["passage 2"]
        scheduler.remove(scheduler.admitted[0], NOW)
        assert _turn(scheduler) == ["a"]


def test_a_slot_is_not_kept_for_ever_nor_for_batch_work() -> None:
    scheduler = _scheduler()
    for name, batch in (("x", True), ("passage", False)):
        ended = _add(scheduler, name, batch, text_after=20)
        _turn(scheduler)
        ended.reason = FinishReason.EOS
        scheduler.remove(ended, NOW)
    for name in ("a", "b"):
        _add(scheduler, name)
    assert _turn(scheduler) == ["a"]
    assert _turn(scheduler, NOW + Scheduler.KEPT_S) == ["b"]


def test_idle_means_nothing_waits_or_runs() -> None:
    scheduler = _scheduler(slots=1)
    assert scheduler.idle
    batch = _add(scheduler, "x", batch=True)
    assert not scheduler.idle
    _turn(scheduler)
    interactive = _add(scheduler, "a")
    _turn(scheduler)
    for sequence in (batch, interactive):
        assert scheduler.find(sequence.request.request_id) is sequence
        scheduler.remove(sequence, NOW)
    assert scheduler.idle
    scheduler.check_books()


def test_one_prompt_moves_on_in_a_round_the_oldest() -> None:
    scheduler = _scheduler()
    first, second = _add(scheduler, "a"), _add(scheduler, "b")
    assert _round(scheduler) == []
    rounds = [_round(scheduler) for _ in range(2)]
    prefills = [plan.sequence for pieces in rounds for plan in pieces if isinstance(plan, Prefill)]
    assert prefills == [first, second]


def test_those_who_fall_due_together_take_turns_the_longest_waiting_first() -> None:
    """Eight in step: what a round decodes is bounded, nobody waits for more than a few rounds, nothing falls behind."""
    scheduler = _scheduler(slots=8)
    sequences = [_add(scheduler, str(number)) for number in range(8)]
    _turn(scheduler)
    for number, sequence in enumerate(sequences):
        sequence.codes, sequence.released = [[0]] * 24, 24
        sequence.decoded, sequence.decoded_at = 18, NOW - number
    order: list[str] = []
    for _ in range(60):
        decodes = [plan for plan in _round(scheduler) if isinstance(plan, Decode)]
        assert sum(plan.frames * len(plan.batch) for plan in decodes) <= 16
        order += [name for plan in decodes for name in _names(list(plan.batch))]
    assert list(dict.fromkeys(order)) == ["7", "6", "5", "4", "3", "2", "1", "0"]
    assert max(sequence.undecoded for sequence in sequences) < 2 * CHUNKS.largest


def test_more_slots_than_the_bound_do_not_fall_behind() -> None:
    scheduler = _scheduler(slots=8, decoded_a_second=10)
    sequences = [_add(scheduler, str(number)) for number in range(8)]
    _turn(scheduler)
    for _ in range(100):
        _round(scheduler)
    assert max(sequence.undecoded for sequence in sequences) <= 2 * CHUNKS.largest


def test_what_ended_keeps_its_slot_until_it_is_heard() -> None:
    scheduler = _scheduler(slots=1, decoded_a_second=10)
    ended = _add(scheduler, "a")
    _turn(scheduler)
    ended.codes = [[0]] * 20
    ended.end(FinishReason.EOS)
    heard: list[int] = []
    while not ended.over:
        heard += [plan.frames for plan in _round(scheduler) if isinstance(plan, Decode)]
    assert heard == [2] * 10, "no more at a time than the first chunk has, as this codec is slow"


@pytest.mark.parametrize("reason", [FinishReason.CANCELLED, FinishReason.DEADLINE, FinishReason.ERROR])
def test_speech_that_ended_can_still_be_given_up(reason: FinishReason) -> None:
    scheduler = _scheduler(slots=1)
    ended = _add(scheduler, "a")
    _turn(scheduler)
    ended.codes = [[0]] * 20
    ended.end(FinishReason.LENGTH)
    ended.end(reason, "why")
    ended.end(FinishReason.CANCELLED, "too late")
    assert (ended.reason, ended.error, ended.over) == (reason, "why", True)
