"""In a process of its own: the limit cannot be taken back."""

import subprocess
import sys

PROGRAM = """
from deployments import memory_budget
import numpy as np
MIB = 2**20
{before}
held = np.ones(60 * MIB, dtype=np.uint8)
try:
    more = np.ones(400 * MIB, dtype=np.uint8)
    print("allocated")
except MemoryError:
    print("refused")
again = np.ones(20 * MIB, dtype=np.uint8)
print("alive", 60 * MIB < memory_budget.resident_bytes() <= memory_budget.peak_bytes())
"""


def run(before: str) -> str:
    program = PROGRAM.format(before=before)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout


def test_an_allocation_past_the_budget_fails_and_the_process_lives_on() -> None:
    assert run("memory_budget.enforce(memory_budget.used_bytes(0) + 150 * MIB, 0)") == "refused\nalive True\n"


def test_mapped_weights_count_whether_or_not_they_are_touched() -> None:
    weights = "memory_budget.used_bytes(0) + 1000 * MIB, 850 * MIB"
    assert run(f"memory_budget.enforce({weights})") == "refused\nalive True\n"


def test_without_a_budget_nothing_is_refused() -> None:
    assert run("") == "allocated\nalive True\n"


def test_a_budget_that_is_used_up_after_loading_is_an_error() -> None:
    program = "from deployments import memory_budget; memory_budget.check(1, 0)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "MemoryBudgetError" in answer.stderr


def test_address_space_that_nobody_touches_does_not_eat_up_the_budget() -> None:
    before = """
import mmap
budget = memory_budget.used_bytes(0) + 150 * MIB
memory_budget.enforce(budget, 0)
untouched = mmap.mmap(-1, 250 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory_budget.enforce(budget, 0)
"""
    assert run(before) == "refused\nalive True\n"
