"""Who is in memory, decided without Ray."""

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deployments.residency import TURN_S, Decision, Resident, decide

COLD = Resident(budget=10, running=False, ordered=False, requests=False, since_s=float("inf"))
WANTED = replace(COLD, requests=True)
IDLE = replace(COLD, running=True, ordered=True, since_s=100.0)
BUSY = replace(IDLE, requests=True)


def decision(working: Iterable[int] = (), idle: Iterable[int] = (), leaving: Iterable[int] = ()) -> Decision:
    return Decision(frozenset(working), frozenset(idle), frozenset(leaving))


def test_nobody_asks_and_nobody_is_there() -> None:
    assert decide([COLD, COLD], 10) == decision(idle={0, 1})


def test_a_cold_model_starts_on_its_first_request() -> None:
    assert decide([WANTED, COLD], 10) == decision(working={0}, idle={1})


def test_where_there_is_room_an_idle_model_stays_its_time() -> None:
    assert decide([WANTED, IDLE], 20) == decision(working={0}, idle={1})


def test_where_there_is_none_the_idle_model_gives_way() -> None:
    assert decide([WANTED, IDLE], 19) == decision(working={0}, leaving={1})


def test_the_idle_model_that_was_loaded_first_goes_first_and_no_more_than_needed() -> None:
    younger = replace(IDLE, since_s=5.0)
    assert decide([WANTED, younger, IDLE], 29) == decision(working={0}, idle={1}, leaving={2})


def test_a_busy_model_keeps_its_place_for_its_turn() -> None:
    waiting = replace(WANTED, ordered=True, since_s=TURN_S - 1)
    assert decide([waiting, BUSY], 10) == decision(working={0, 1})


def test_then_it_gives_way_so_that_nobody_waits_for_ever() -> None:
    waiting = replace(WANTED, ordered=True, since_s=TURN_S)
    assert decide([waiting, BUSY], 10) == decision(working={0}, leaving={1})


def test_a_model_that_has_just_come_has_its_turn_too() -> None:
    waiting, young = replace(WANTED, ordered=True, since_s=TURN_S), replace(BUSY, since_s=1.0)
    assert decide([waiting, young], 10) == decision(working={0, 1})


def test_nobody_overtakes_the_one_that_waits_for_room() -> None:
    waiting = replace(WANTED, ordered=True, since_s=3.0)
    small = replace(WANTED, budget=1)
    assert decide([small, waiting, BUSY], 15) == decision(working={1, 2})


def test_a_model_that_is_loading_holds_its_memory() -> None:
    loading = replace(WANTED, ordered=True, since_s=3.0)
    assert decide([loading, WANTED, IDLE], 20) == decision(working={0, 1}, leaving={2})
    assert decide([loading, WANTED], 19) == decision(working={0, 1})  # ordered: it waits for room


def test_an_order_that_nobody_waits_for_stands_only_where_there_is_room() -> None:
    abandoned = replace(COLD, ordered=True, since_s=3.0)
    assert decide([abandoned, IDLE], 20) == decision(idle={0, 1})
    assert decide([abandoned, IDLE], 19) == decision(idle={1}, leaving={0})
    assert decide([abandoned, WANTED], 19) == decision(working={1}, leaving={0})
    small = replace(abandoned, budget=1)
    assert decide([small, WANTED, BUSY], 15) == decision(working={1, 2}, leaving={0})


RESIDENTS = st.builds(
    Resident,
    budget=st.integers(1, 20),
    running=st.booleans(),
    ordered=st.booleans(),
    requests=st.booleans(),
    since_s=st.floats(0, 100),
)


@given(st.lists(RESIDENTS, max_size=5), st.integers(20, 60))
def test_whatever_comes_no_model_is_told_two_things_and_only_those_leave_that_were_to_be_there(
    models: list[Resident], capacity: int
) -> None:
    made = decide(models, capacity)
    assert not made.working & made.idle
    assert not made.working & made.leaving
    assert not made.idle & made.leaving
    assert all(models[place].running or models[place].ordered for place in made.leaving)
    assert all(models[place].requests for place in made.working)
    waiting = [place for place, model in enumerate(models) if model.requests and not model.running]
    assert not waiting or made.working & set(waiting)
