"""Finding, loading and choosing the native library."""

import importlib.machinery
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.native import Kernels, NativeError, available, instruction_sets, library
from tests.models.native_reference import needs_native


@needs_native
def test_the_best_instruction_set_is_the_default_and_portable_always_there() -> None:
    assert Kernels().instructions == instruction_sets()[0]
    assert instruction_sets()[-1] == "portable"


@needs_native
def test_any_listed_instruction_set_can_be_forced() -> None:
    assert [Kernels(name).instructions for name in instruction_sets()] == list(instruction_sets())


@needs_native
def test_threads_default_to_those_of_torch() -> None:
    assert Kernels().threads == torch.get_num_threads()
    assert Kernels(threads=3).threads == 3


@needs_native
def test_torch_and_the_kernels_share_one_openmp_runtime() -> None:
    program = """
import torch
from models.native import Kernels, NativeLinear, pack_fp32
NativeLinear(pack_fp32(torch.ones(64, 64)), Kernels(threads=2))(torch.ones(1, 64))
torch.ones(300, 300) @ torch.ones(300, 300)
runtimes = {line.split()[-1] for line in open("/proc/self/maps") if "omp.so" in line or "omp5.so" in line}
print(len(runtimes), *runtimes)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.startswith("1 "), result.stdout


def test_without_a_library_there_is_nothing_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_library", lambda: None)
    assert not available()
    assert instruction_sets() == ()
    with pytest.raises(NativeError, match="not compiled"):
        Kernels()


def test_a_library_that_does_not_load_is_reported_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"_kernels{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    path.write_bytes(b"no library")
    load = library._load  # pyright: ignore[reportPrivateUsage]
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path) is None
    assert "torch reference serves" in caplog.text
    assert load(tmp_path / "nowhere") is None


@needs_native
def test_a_library_of_another_layout_is_reported_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load = library._load  # pyright: ignore[reportPrivateUsage]
    here = Path(library.__file__).parent
    assert load(here) is not None
    monkeypatch.setattr(library, "LAYOUT_VERSION", library.LAYOUT_VERSION + 1)
    assert load(here) is None
    assert "compiled from other sources" in caplog.text
