"""Slots and queues: numbers only, no engine."""

import pytest

from models import FinishReason, Priority, SamplingSettings, SynthesisRequest
from models.scheduler import ChunkPolicy, Scheduler
from models.sequence import Sequence, Status

NOW = 100.0


def _scheduler(slots: int = 2) -> Scheduler:
    return Scheduler(slots, ChunkPolicy())


def _add(scheduler: Scheduler, name: str, batch: bool = False, begun: bool = False, text_after: int = 0) -> Sequence:
    priority = Priority.BATCH if batch else Priority.INTERACTIVE
    request = SynthesisRequest(name, priority=priority, begun=begun, text_after=text_after, request_id=name)
    sequence = Sequence(request, lambda _: None, SamplingSettings(), 1, 100, 1)
    scheduler.add(sequence)
    return sequence


def _names(sequences: list[Sequence]) -> list[str]:
    return [sequence.request.request_id for sequence in sequences]


def _turn(scheduler: Scheduler, now: float = NOW) -> list[str]:
    """What a step does about slots; returns who got one."""
    for sequence in scheduler.preempt():
        scheduler.put_back(sequence)
    admitted = scheduler.admit(now)
    for sequence in admitted:
        sequence.status = Status.RUNNING
    return _names(admitted)


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
    assert _names(scheduler.running()) == ["x"]
    interactive = _add(scheduler, "a")
    _turn(scheduler)
    assert _names(scheduler.running()) == ["a"]
    interactive.reason = FinishReason.EOS
    assert _names(scheduler.running()) == ["x"]


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
    assert scheduler.preempt() == []
    _turn(scheduler)
    _add(scheduler, "y", batch=True)
    assert scheduler.preempt() == []


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
