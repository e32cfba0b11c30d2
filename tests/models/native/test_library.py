"""Finding, loading and choosing the native library."""

import _ctypes
import importlib.machinery
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models import InvalidRequestError, Kind, load_engine
from models.native import Kernels, NativeError, available, instruction_sets, library, sources
from tests.models.native.reference_stack import needs_native


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
    monkeypatch.setattr(library, "_library", lambda: NativeError("the native kernels are not compiled"))
    assert not available()
    assert instruction_sets() == ()
    with pytest.raises(NativeError, match="not compiled"):
        Kernels()


HERE = Path(library.__file__).parent
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
load = library._load  # pyright: ignore[reportPrivateUsage]


def test_where_nothing_was_compiled_nobody_is_alarmed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NativeError, match="not compiled"):
        load(tmp_path / "nowhere")
    assert not caplog.records


def test_a_library_that_does_not_load_is_reported_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"_kernels{SUFFIX}").write_bytes(b"no library")
    with pytest.raises(NativeError, match="do not load"):
        load(tmp_path)
    assert "plain torch serves, many times slower" in caplog.text


def test_a_library_that_does_not_say_what_it_was_made_from_is_not_used(tmp_path: Path) -> None:
    assert _ctypes.__file__ is not None
    shutil.copy(_ctypes.__file__, tmp_path / f"_kernels{SUFFIX}")
    with pytest.raises(NativeError, match="other sources"):
        load(tmp_path)


def _change_sources(patch: pytest.MonkeyPatch, directory: Path) -> None:
    shutil.copytree(sources.SOURCES, directory)
    with (directory / "memory.h").open("a") as file:
        file.write("// changed\n")
    patch.setattr(library, "sources_digest", lambda: sources.sources_digest(directory))


def _change_structure(patch: pytest.MonkeyPatch, _: Path) -> None:
    sizes = library.structure_sizes()
    patch.setattr(library, "structure_sizes", lambda: [sizes[0] + "0", *sizes[1:]])


def _change_layout(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setattr(library, "LAYOUT_VERSION", library.LAYOUT_VERSION + 1)


@needs_native
@pytest.mark.parametrize(
    ("change", "named"), [(_change_sources, "sources"), (_change_structure, "Linear"), (_change_layout, "layout")]
)
def test_a_library_left_behind_by_newer_sources_is_reported_and_not_used(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    change: Callable[[pytest.MonkeyPatch, Path], None],
    named: str,
) -> None:
    assert load(HERE)
    change(monkeypatch, tmp_path / "src")
    with pytest.raises(NativeError, match=rf"compiled from other sources .*\({named} differ\): run `python setup.py"):
        load(HERE)
    assert "plain torch serves, many times slower" in caplog.text


@needs_native
def test_without_sources_beside_it_the_structures_alone_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "sources_digest", lambda: None)
    assert load(HERE)


def test_a_library_left_behind_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Callable[[Kind], Path]
) -> None:
    monkeypatch.setattr(library, "_library", lambda: NativeError("compiled from other sources: install again"))
    with pytest.raises(InvalidRequestError, match="install again"):
        load_engine(tiny_checkpoint("voice_design"), "fp32", threads=1, slots=1, max_positions=64, backend="native")
    engine = load_engine(tiny_checkpoint("voice_design"), "fp32", threads=1, slots=1, max_positions=64)
    engine.close()
    assert engine.info.backend == "torch"


COMPILER = os.environ.get("CXX", "g++")
AVX2 = ["-mavx2", "-mfma"]
AVX512_BF16 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mavx512bf16"]


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which(COMPILER) or not shutil.which("nm"), reason="no C++ compiler"
)
@pytest.mark.parametrize(("source", "flags"), [("avx2", AVX2), ("amx_emulated", AVX512_BF16)])
def test_what_is_compiled_for_an_instruction_set_hands_the_linker_no_code(
    source: str, flags: list[str], tmp_path: Path
) -> None:
    """Shared inline functions would bring wider instructions to processors without them."""
    out = tmp_path / "kernels.o"
    command = [
        COMPILER,
        "-std=c++17",
        "-O0",
        *flags,
        "-c",
        str(sources.SOURCES / "kernels" / f"{source}.cpp"),
        "-o",
        str(out),
    ]
    subprocess.run(command, check=True, timeout=300)
    listing = subprocess.run(["nm", "-C", "--defined-only", out], capture_output=True, text=True, check=True).stdout
    symbols = [line.split(maxsplit=2)[1:] for line in listing.splitlines()]
    assert any("speech::(anonymous namespace)::product" in name for _, name in symbols), "it was compiled with them"
    shared = [(kind, name) for kind, name in symbols if kind in "TWVuiBDR"]
    assert shared == [("D", f"speech::{source}_kernels")]
    assert not any("GLOBAL__sub_I" in name for _, name in symbols), "nothing runs when the library is loaded"
