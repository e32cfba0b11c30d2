"""What a model will take, known beforehand, against what it takes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models import Kind, load_engine
from models.architecture.memory import MIB, Setting, estimate_memory, nearest_fit
from models.architecture.precision import Precision
from models.architecture.speaking import read_architecture
from models.catalog.shapes import SHAPES

WANTED = Setting("bf16", 4, 2048)
BASE = SHAPES["0.6b"]


def total(setting: Setting) -> int:
    return estimate_memory(BASE, "base", setting).total


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "nf4"])
def test_weights_and_caches_are_what_an_engine_reports(
    precision: Precision, tiny_checkpoint: Callable[[Kind], Path]
) -> None:
    directory = tiny_checkpoint("base")
    estimate = estimate_memory(read_architecture(directory), "base", Setting(precision, 2, 256))
    engine = load_engine(directory, precision, threads=1, slots=2, max_positions=256)
    report = engine.memory_report()
    backend = engine.info.backend
    engine.close()
    assert report.caches + report.codec_state == pytest.approx(estimate.caches, rel=0.15)
    if backend == "native":  # torch keeps the weights in another form
        assert report.weights == pytest.approx(estimate.weights, rel=0.05)


@pytest.mark.parametrize(
    ("size", "kind", "precision", "mib"),
    [
        ("0.6b", "base", "nf4", 526), ("0.6b", "base", "int8", 774), ("0.6b", "base", "bf16", 1285),
        ("0.6b", "base", "fp32", 2571), ("1.7b", "voice_design", "nf4", 1028), ("1.7b", "voice_design", "bf16", 3147),
    ],
)  # fmt: skip
def test_packed_weights_of_full_size_as_measured(size: str, kind: Kind, precision: Precision, mib: int) -> None:
    """Without the tables of codes, which are mapped beside them."""
    shape = SHAPES[size]
    tables = 2 * shape.talker.hidden * (shape.talker.vocabulary + 15 * shape.predictor.vocabulary)
    weights = estimate_memory(shape, kind, Setting(precision, 1, 512)).weights
    assert round((weights - tables) / MIB) == pytest.approx(mib, abs=1)


def test_a_slot_of_the_small_model_costs_112_kib_a_position() -> None:
    more = estimate_memory(BASE, "base", Setting("bf16", 4, 2049)).caches
    assert more - estimate_memory(BASE, "base", WANTED).caches == 4 * 112 * 1024


def test_what_fits_is_left_as_it_is() -> None:
    assert nearest_fit(BASE, "base", WANTED, total(WANTED)) == WANTED


def test_fewer_slots_come_first_then_fewer_positions_then_another_precision() -> None:
    two_slots, short = Setting("bf16", 2, 2048), Setting("bf16", 1, 1024)
    assert nearest_fit(BASE, "base", WANTED, total(two_slots)) == two_slots
    assert nearest_fit(BASE, "base", WANTED, total(short)) == short
    smaller = nearest_fit(BASE, "base", WANTED, total(Setting("bf16", 1, 512)) - 1)
    assert smaller is not None
    assert (smaller.precision, smaller.max_positions) == ("int8", 2048)


def test_some_budgets_fit_nothing() -> None:
    assert nearest_fit(BASE, "base", WANTED, 500 * MIB) is None


def test_an_estimate_says_its_parts() -> None:
    said = str(estimate_memory(BASE, "base", WANTED))
    assert said.endswith(")")
    assert all(part in said for part in ("MiB (", "weights 1351", "caches", "work", "process"))


def test_it_needs_no_torch() -> None:
    program = "import sys, models.architecture.memory, models.catalog.shapes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
