"""Who is let in, and what they are told: numbers only, no engine."""

from typing import Any

import pytest

from models import OverloadedError, Priority, SamplingSettings, SynthesisRequest
from models.engine.admission import Admission
from models.engine.pace import Pace
from models.engine.sequence import Sequence, Status
from models.text.layout import Layout

TOKENS = 10
FRAMES = 4.0 * TOKENS  # of each request, as expected
STEP_S = 0.1


def _admission(slots: int = 1, max_waiting: int = 3) -> Admission:
    pace = Pace(slots, 0.08, 1.0, assumed_frames_per_token=FRAMES / TOKENS)
    pace.step(slots, STEP_S)
    return Admission(slots, max_waiting, pace)


def _sequence(priority: Priority = Priority.INTERACTIVE, max_frames: int = 1500, **request: Any) -> Sequence:
    made = SynthesisRequest("ten tokens", priority=priority, **request)
    return Sequence(made, lambda _: None, Layout([0] * TOKENS), SamplingSettings(), 1, max_frames)


def _running(admission: Admission, **request: Any) -> Sequence:
    sequence = _sequence(**request)
    admission.enter(sequence)
    sequence.status = Status.RUNNING
    return sequence


def test_a_free_slot_means_now() -> None:
    admission = _admission(slots=2)
    accepted = [admission.enter(_sequence()) for _ in range(2)]
    assert [(place.queue_position, place.eta_s) for place in accepted] == [(0, 0.0), (0, 0.0)]


def test_the_wait_is_the_queued_audio_times_the_measured_pace() -> None:
    admission = _admission()
    _running(admission)
    first, second = admission.enter(_sequence()), admission.enter(_sequence())
    assert (first.queue_position, first.eta_s) == (1, pytest.approx(FRAMES * STEP_S))
    assert (second.queue_position, second.eta_s) == (2, pytest.approx(2 * FRAMES * STEP_S))
    assert admission.queued_audio_s == pytest.approx(3 * FRAMES * 0.08)


def test_what_was_spoken_is_not_waited_for() -> None:
    admission = _admission()
    running = _running(admission)
    running.codes = [[0]] * 30
    assert admission.enter(_sequence()).eta_s == pytest.approx((FRAMES - 30) * STEP_S)
    admission.leave(running)


def test_one_that_outlives_its_expectation_may_end_at_any_frame() -> None:
    admission = _admission()
    _running(admission).codes = [[0]] * 300
    assert admission.enter(_sequence()).eta_s == pytest.approx(STEP_S)


def test_an_expectation_is_never_above_the_limit_and_counts_what_follows() -> None:
    admission = _admission()
    _running(admission, max_frames=10)
    assert admission.enter(_sequence(text_after=20)).eta_s == pytest.approx(10 * STEP_S)
    assert admission.enter(_sequence()).eta_s == pytest.approx((10 + 3 * FRAMES) * STEP_S)


def test_several_slots_share_the_queue() -> None:
    admission = _admission(slots=2)
    _running(admission).codes = [[0]] * 30
    _running(admission)
    starts = [admission.enter(_sequence()).eta_s for _ in range(3)]
    assert starts == pytest.approx([10 * STEP_S, 40 * STEP_S, 50 * STEP_S])


def test_a_full_room_is_told_when_a_place_is_free() -> None:
    admission = _admission(max_waiting=2)
    _running(admission).codes = [[0]] * 15
    admission.enter(_sequence())
    admission.enter(_sequence())
    with pytest.raises(OverloadedError) as refusal:
        admission.enter(_sequence())
    assert refusal.value.retry_after_s == pytest.approx(25 * STEP_S)
    assert admission.rejected == 1
    assert admission.waiting(Priority.INTERACTIVE) == 2


def test_what_would_start_after_its_deadline_is_refused_at_once() -> None:
    admission = _admission()
    _running(admission)
    with pytest.raises(OverloadedError) as refusal:
        admission.enter(_sequence(timeout_s=3.0))
    assert refusal.value.retry_after_s == pytest.approx(FRAMES * STEP_S - 3.0)
    assert admission.enter(_sequence(timeout_s=4.5)).queue_position == 1


def test_interactive_requests_do_not_see_batch_work() -> None:
    admission = _admission(max_waiting=1)
    _running(admission, priority=Priority.BATCH)
    admission.enter(_sequence(Priority.BATCH))
    assert admission.enter(_sequence()).queue_position == 0
    assert admission.waiting(Priority.BATCH) == 1


def test_batch_work_comes_after_everything() -> None:
    admission = _admission(slots=2)
    _running(admission)
    _running(admission, priority=Priority.BATCH)
    place = admission.enter(_sequence(Priority.BATCH))
    assert (place.queue_position, place.eta_s) == (1, pytest.approx(FRAMES * STEP_S))
    assert admission.enter(_sequence()).queue_position == 0, "the batch sequence gives way"


def test_what_has_begun_is_never_refused() -> None:
    admission = _admission(max_waiting=1)
    _running(admission)
    admission.enter(_sequence())
    with pytest.raises(OverloadedError):
        admission.enter(_sequence())
    admission.enter(_sequence(begun=True, timeout_s=0.01))
