"""Slots and queues: numbers only, no engine."""

from models import FinishReason, Priority, Sampling, SynthesisRequest
from models.scheduler import ChunkPolicy, Scheduler
from models.sequence import Sequence, Status


def _scheduler(slots: int = 2) -> Scheduler:
    return Scheduler(slots, ChunkPolicy())


def _add(scheduler: Scheduler, name: str, batch: bool = False, begun: bool = False) -> Sequence:
    priority = Priority.BATCH if batch else Priority.INTERACTIVE
    request = SynthesisRequest(name, priority=priority, begun=begun, request_id=name)
    sequence = Sequence(request, lambda _: None, Sampling(), 1, 100, 1)
    scheduler.add(sequence)
    return sequence


def _names(sequences: list[Sequence]) -> list[str]:
    return [sequence.request.request_id for sequence in sequences]


def _turn(scheduler: Scheduler) -> list[str]:
    """What a step does about slots; returns who got one."""
    for sequence in scheduler.preempt():
        scheduler.put_back(sequence)
    admitted = scheduler.admit()
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
    scheduler.remove(interactive)
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
        scheduler.remove(sequence)
    assert scheduler.idle
    scheduler.check_books()
