from itertools import pairwise

import pytest
import yaml

from benchmarks.doctor import RAY_BYTES, advise, report
from benchmarks.machine import Machine
from deployments.config import MIB, AppConfig
from deployments.machine import Node

FAST = 28e9  # bytes a second
GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("gib", "bandwidth", "precisions", "stay"),
    [
        (64, 200e9, ["bf16", "bf16"], True),
        (6, FAST, ["nf4", "nf4"], True),
        (4, FAST, ["nf4", "nf4"], False),
        (64, 1e9, ["nf4", "nf4"], True),
    ],
)
def test_advice_fits_the_machine(gib: float, bandwidth: float, precisions: list[str], stay: bool) -> None:
    advice = advise(int(gib * GIB), bandwidth)
    assert ([choice.precision for choice in advice.choices], advice.stay) == (precisions, stay)
    taken = [choice.memory for choice in advice.choices]
    assert (sum(taken) if stay else max(taken)) + RAY_BYTES <= 0.95 * gib * GIB


def test_more_memory_never_gives_worse_advice() -> None:
    order = ["nf4", "int8", "bf16"]
    ranks = [[order.index(choice.precision) for choice in advise(gib * GIB, 200e9).choices] for gib in range(3, 16)]
    assert all(before <= after for before, after in pairwise(ranks))


def test_where_one_fits_at_a_time_both_come_when_they_are_asked_for() -> None:
    chosen = yaml.safe_load(advise(4 * GIB, FAST).snippet)["models"]
    assert [model["min_replicas"] for model in chosen] == [0, 0]


@pytest.mark.parametrize("gib", [6, 16])
def test_the_snippet_is_a_configuration(gib: float) -> None:
    advice = advise(int(gib * GIB), FAST)
    config = AppConfig.model_validate({**yaml.safe_load(advice.snippet), "weights": "hub"})
    assert [model.kind for model in config.models] == ["base", "voice_design"]
    for model, choice in zip(config.models, advice.choices, strict=True):
        assert config.budget_bytes(model) >= choice.memory


def test_a_machine_that_is_too_small_is_told_so() -> None:
    assert "no published model" in advise(1 * GIB, FAST).why


def test_the_report_tells_the_machine_as_it_is_granted() -> None:
    machine = Machine("Some processor", 8, 2, ("avx2", "fma"), FAST)
    said = report(machine, Node(4 * GIB, 3 * GIB, 1.5), "avx2")
    for part in ("Some processor", "avx2 fma; kernels: avx2", "1.5 granted, 8 visible", "4096 MiB", "28.0 GB/s", "nf4"):
        assert part in said
