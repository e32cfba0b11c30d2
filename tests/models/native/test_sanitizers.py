"""The native library under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMPILER = os.environ.get("CXX", "g++")
FLAGS = ["-std=c++17", "-O1", "-g1", "-fopenmp", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason="no C++ compiler")
def test_every_kernel_runs_clean(tmp_path: Path) -> None:
    build = [sys.executable, "setup.py", "-q", "build_ext", "--sanitize"]
    build += ["--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")]
    subprocess.run(build, cwd=ROOT, check=True, timeout=600)
    library = next((tmp_path / "lib").rglob("_kernels*.so"))
    program = tmp_path / "check"
    source = Path(__file__).with_name("check.cpp")
    subprocess.run([COMPILER, *FLAGS, str(source), str(library), "-o", str(program)], check=True, timeout=300)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "OMP_NUM_THREADS": "3"}
    result = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout.endswith("done\n")
