"""In processes of their own: a limit cannot be taken back."""

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.replica import memory_limit
from models import MemoryReport
from models.architecture.memory import MIB

PROGRAM = """
from deployments.replica import memory_limit
from models import MemoryReport
import numpy as np
MIB = 2**20
def report(**sizes):
    return MemoryReport(**{{**dict.fromkeys(MemoryReport.__slots__, 0), **sizes}})
def room(size, **sizes):
    memory_limit.enforce(memory_limit.used_bytes(report()) + size * MIB, report(**sizes))
{before}
held = np.ones(60 * MIB, dtype=np.uint8)
try:
    more = np.ones(400 * MIB, dtype=np.uint8)
    print("allocated")
except MemoryError:
    print("refused")
again = np.ones(20 * MIB, dtype=np.uint8)
print("alive", 60 * MIB < memory_limit.resident_bytes() <= memory_limit.peak_bytes())
"""


def run(before: str) -> str:
    program = PROGRAM.format(before=before)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout


def test_an_allocation_past_the_budget_fails_and_the_process_lives_on() -> None:
    assert run("room(150)") == "refused\nalive True\n"


def test_mapped_weights_count_whether_or_not_they_are_touched() -> None:
    assert run("room(1000, mapped=850 * MIB)") == "refused\nalive True\n"


def test_caches_that_are_not_touched_yet_count_too() -> None:
    assert run("room(1000, untouched=850 * MIB)") == "refused\nalive True\n"


def test_without_a_budget_nothing_is_refused() -> None:
    assert run("") == "allocated\nalive True\n"


def test_a_budget_that_is_used_up_after_loading_is_an_error() -> None:
    program = PROGRAM.format(before="memory_limit.check(1, report())")
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "MemoryBudgetError" in answer.stderr


def test_address_space_that_nobody_touches_does_not_eat_up_the_budget() -> None:
    before = """
import mmap
room(150)
untouched = mmap.mmap(-1, 250 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
room(150)
"""
    assert run(before) == "refused\nalive True\n"


def test_the_limit_is_put_anew_when_memory_was_touched_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[MemoryReport] = []

    def do_nothing(budget_bytes: int, report: MemoryReport) -> None:
        assert budget_bytes > report.weights

    def report() -> MemoryReport:
        reports.append(MemoryReport(**dict.fromkeys(MemoryReport.__slots__, 0)))
        return reports[-1]

    monkeypatch.setattr(memory_limit, "enforce", do_nothing)
    limit = memory_limit.MemoryLimit(10 * 2**30, report)
    limit.renew()
    before = len(reports)
    for _ in range(5):
        limit.renew()
    assert len(reports) == before
    held = bytearray(b"1") * (50 * MIB)
    limit.renew()
    assert (len(reports), len(held)) == (before + 1, 50 * MIB)


ENGINE = """
import resource, sys
from models import OutOfMemoryError, RequestTooLargeError, SynthesisRequest, load_engine

def speak(frames):
    return engine.synthesize(SynthesisRequest("Hello.", description="Calm.", max_frames=frames))
engine = load_engine(sys.argv[1], "bf16", threads=1, slots=2, max_positions=4096, runaway=None)
_, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (2**20, hard))
taken = []
try:  # what the heap still has from loading
    while True:
        taken.append(bytes(16384))
except MemoryError:
    del taken[-512:]
try:
    speak(2000)
    print("spoken")
except RequestTooLargeError:
    print("too large")
print("healthy", engine.healthy(), engine.status().slots_used)
resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
taken.clear()
print("spoken", len(speak(5)) > 0)
engine.close()
"""


def test_an_engine_without_memory_fails_the_request_and_lives_on(tmp_path: Path) -> None:
    from models.synthetic.writing import write_checkpoint

    write_checkpoint(tmp_path, "tiny", "voice_design", endless=True)
    command = [sys.executable, "-c", ENGINE, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.stdout == "too large\nhealthy True 0\nspoken True\n", answer.stderr
