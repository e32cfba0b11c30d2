"""Which models are in memory: Ray Serve's autoscaling policy for the whole app, named in serve_config.yaml.

Serve calls `residency` in its controller many times a second with what it knows of all models. It starts a cold model
on its first request and lets an idle one go after its time; what it cannot know is that memory is short. So the policy
adds one thing: when a model with waiting requests does not fit beside the others, idle ones give way at once, and busy
ones after they had their turn. A model that gives way finishes what runs.

This module is imported by Serve's controller, so it imports little.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import ray
from ray.serve.config import AutoscalingConfig, AutoscalingContext

Key = TypeVar("Key")

ORDERED_AT = "ordered_at"
TURN_S = 30.0  # how long a model may work on while another waits for its memory


@dataclass(frozen=True, slots=True)
class Resident:
    """What is known of one model that may be cold."""

    budget: int  # bytes
    running: bool  # its replica is loaded
    ordered: bool  # its replica shall be there
    requests: bool  # some wait or run
    since_s: float  # since its replica was ordered; infinity where it never was


@dataclass(frozen=True, slots=True)
class Decision:
    """What shall become of the models, by their places in the sequence. A place that stands nowhere stays as it is."""

    working: frozenset[int]  # shall be there
    idle: frozenset[int]  # may go after their idle time
    leaving: frozenset[int]  # go now


def decide(models: Sequence[Resident], capacity: int) -> Decision:
    """Who is in memory, given `capacity` bytes for all of them."""
    loaded = {place for place, model in enumerate(models) if model.running}
    working = {place for place in loaded if models[place].requests}
    idle = {place for place, model in enumerate(models) if not model.requests}
    leaving: set[int] = set()
    free = capacity - sum(models[place].budget for place in loaded)
    for place in _waiting(models):
        working.add(place)
        going = _making_way(models, place, loaded - leaving, free)
        if going is None:
            free = 0  # its order stands until there is room; nobody overtakes it
            break
        leaving.update(going)
        free += sum(models[other].budget for other in going) - models[place].budget
    for place in _abandoned(models):
        if models[place].budget > free:
            leaving.add(place)  # nobody would make way for it, and it would take the first room there is
        else:
            free -= models[place].budget
    return Decision(frozenset(working - leaving), frozenset(idle - leaving), frozenset(leaving))


def _waiting(models: Sequence[Resident]) -> list[int]:
    """Cold models with requests, the one whose order is oldest first."""
    places = [place for place, model in enumerate(models) if model.requests and not model.running]
    return sorted(places, key=lambda place: -models[place].since_s if models[place].ordered else 0.0)


def _abandoned(models: Sequence[Resident]) -> list[int]:
    """Ordered models for which nobody waits any more; whoever gave up on one that loads is told to come back."""
    return [place for place, model in enumerate(models) if model.ordered and not model.running and not model.requests]


def _making_way(models: Sequence[Resident], place: int, loaded: Iterable[int], free: int) -> list[int] | None:
    """Loaded models that have to go for the one at `place` to fit: idle ones, the longest loaded first, then, when it
    has waited long enough, busy ones that had their turn. None when that does not suffice."""
    wanted = models[place]
    turn_is_over = wanted.ordered and wanted.since_s >= TURN_S
    may_go = [
        other for other in loaded if not models[other].requests or (turn_is_over and models[other].since_s >= TURN_S)
    ]
    going: list[int] = []
    for other in sorted(may_go, key=lambda other: (models[other].requests, -models[other].since_s)):
        if free >= wanted.budget:
            break
        going.append(other)
        free += models[other].budget
    return going if free >= wanted.budget else None


def residency(
    contexts: dict[Key, AutoscalingContext],
) -> tuple[dict[Key, int], dict[Key, dict[str, Any]]]:
    """The policy in Serve's form: numbers of replicas by deployment, and since when each is ordered, which Serve brings
    back the next time."""
    kept = sum(_budget(context) for context in contexts.values() if _stays(context))
    comers = {key: context for key, context in contexts.items() if not _stays(context)}
    keys, now = list(comers), time.monotonic()
    ordered = {key: _ordered_at(context, now) for key, context in comers.items()}
    decision = decide([_resident(comers[key], now - ordered[key]) for key in keys], _memory() - kept)
    for place in decision.leaving:
        config = _config(comers[keys[place]])
        comers[keys[place]].config = config.model_copy(update={"downscale_to_zero_delay_s": 0.0})
    replicas = {keys[place]: 1 for place in decision.working}
    replicas.update({keys[place]: 0 for place in decision.idle | decision.leaving})
    return replicas, {key: {ORDERED_AT: at} for key, at in ordered.items() if at > float("-inf")}


def settings(budget: int) -> dict[str, float]:
    """What the policy has to know of a deployment, as Serve can be told it.

    A policy sees nothing of a deployment but its scaling, and the keywords of a policy, which would be the place, count
    as code: Serve would replace all replicas of the app when one budget changes. `downscale_delay_s` means nothing
    where there is one replica at most.
    """
    return {"downscale_delay_s": float(budget)}


def _config(context: AutoscalingContext) -> AutoscalingConfig:
    assert context.config is not None, "Serve gives a context to deployments that scale"
    return context.config


def _budget(context: AutoscalingContext) -> int:
    return int(_config(context).downscale_delay_s)


def _stays(context: AutoscalingContext) -> bool:
    """Whether the model is never cold."""
    return _config(context).min_replicas > 0


def _ordered_at(context: AutoscalingContext, now: float) -> float:
    """When the policy first saw the model's order, by the clock that nobody sets."""
    return context.policy_state.get(ORDERED_AT, now) if context.target_num_replicas > 0 else float("-inf")


def _resident(context: AutoscalingContext, since_s: float) -> Resident:
    return Resident(
        budget=_budget(context),
        running=context.current_num_replicas > 0,
        ordered=context.target_num_replicas > 0,
        requests=context.total_num_requests > 0,
        since_s=since_s,
    )


@cache
def _memory() -> int:
    """Bytes that Ray gives to replicas on this machine; it does not change while it runs."""
    return int(ray.cluster_resources().get("memory", 0))
