"""Who is in memory, decided without Ray."""

import time
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ray.serve.config import AutoscalingConfig

from deployments import residency
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


@settings(max_examples=300)
@given(st.lists(RESIDENTS, max_size=5), st.integers(20, 60))
def test_whatever_comes_what_is_granted_fits(models: list[Resident], capacity: int) -> None:
    """Who stays, who may come and who is on the way fit beside each other. The last of those who may come may have to
    wait until there is room; then nobody that could go for it is left, and nobody else is on the way."""
    assume(sum(model.budget for model in models if model.running) <= capacity)
    made = decide(models, capacity)
    places = range(len(models))
    coming = [place for place in places if place in made.working and not models[place].running]
    staying = [place for place in places if models[place].running and place not in made.leaving]
    on_the_way = [place for place in places if on_its_way(models[place]) and place not in made.leaving]
    if sum(models[place].budget for place in {*staying, *coming, *on_the_way}) <= capacity:
        return
    last = sorted(coming, key=lambda place: -models[place].since_s if models[place].ordered else 0.0)[-1]
    assert sum(models[place].budget for place in {*staying, *coming} - {last}) <= capacity
    assert not on_the_way
    going = {place for place in staying if may_go(models[place], models[last])}
    assert sum(models[place].budget for place in {*staying, *coming} - going) > capacity


def on_its_way(model: Resident) -> bool:
    """Ordered, and nobody waits for it any more."""
    return model.ordered and not model.running and not model.requests


def may_go(other: Resident, wanted: Resident) -> bool:
    turn_is_over = wanted.ordered and wanted.since_s >= TURN_S and other.since_s >= TURN_S
    return not other.requests or turn_is_over


def context(budget: int, running: bool, requests: int, min_replicas: int = 0) -> Any:
    """What Serve tells of a deployment whose replica is ordered; its own clock has just jumped by a day."""
    scaling = AutoscalingConfig.model_validate({"min_replicas": min_replicas, **residency.settings(budget)})
    return SimpleNamespace(
        config=scaling, current_num_replicas=int(running), target_num_replicas=1, total_num_requests=requests,
        policy_state={}, last_scale_up_time=time.time() - 86_400,
    )  # fmt: skip


def test_turns_are_measured_by_the_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = {"busy": context(10, running=True, requests=1), "wanted": context(10, running=False, requests=1)}
    now = 1000.0
    monkeypatch.setattr(residency, "_memory", lambda: 10)
    monkeypatch.setattr(residency, "time", SimpleNamespace(monotonic=lambda: now))
    replicas, states = residency.residency(contexts)
    assert replicas == {"busy": 1, "wanted": 1}
    for name, state in states.items():
        contexts[name].policy_state = state
    now += TURN_S - 1
    assert residency.residency(contexts)[0] == {"busy": 1, "wanted": 1}
    now += 1
    assert residency.residency(contexts)[0] == {"busy": 0, "wanted": 1}


@pytest.mark.parametrize(("memory", "leaves"), [(25, False), (24, True)])
def test_models_that_stay_take_their_room_and_are_not_decided_about(
    monkeypatch: pytest.MonkeyPatch, memory: int, leaves: bool
) -> None:
    contexts = {
        "kept": context(5, running=True, requests=0, min_replicas=1),
        "idle": context(10, running=True, requests=0),
        "wanted": context(10, running=False, requests=1),
    }
    monkeypatch.setattr(residency, "_memory", lambda: memory)
    assert residency.residency(contexts)[0] == {"idle": 0, "wanted": 1}
    assert (contexts["idle"].config.downscale_to_zero_delay_s == 0) is leaves
