"""Builds the native kernels; everything else about the package stands in pyproject.toml.

The library is plain C++ behind a C interface, loaded with ctypes. Each instruction set is a translation unit of its own
with its own flags; which one runs is decided when the library is loaded. A compiler too old for an instruction set
leaves it out, and without a compiler the installation goes on: the torch reference then serves.

`python setup.py build_ext --sanitize ...` builds it with AddressSanitizer and UndefinedBehaviorSanitizer.
"""

import os
import platform
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

SOURCES = Path("models/native/src")
# What the library says it was made from, so that one that was left behind by newer sources is noticed.
_DIGEST = runpy.run_path("models/native/sources.py")["sources_digest"](SOURCES)
COMMON_FLAGS = [
    "-std=c++17",
    "-O3",
    "-g0",
    "-fopenmp",
    "-fvisibility=hidden",
    # A sum must not change with the shape of the loop around it: fused multiply-adds are written where they are meant.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Wno-psabi",
    # GCC 12 reports its own AVX-512 headers.
    "-Wno-maybe-uninitialized",
    "-Wno-uninitialized",
    f'-DSPEECH_SOURCES="{_DIGEST}"',
]
SANITIZE_FLAGS = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
_AVX2 = ["-mavx2", "-mfma"]
_AVX512 = [*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni"]
INSTRUCTION_FLAGS = {
    "avx2": _AVX2,
    "avx2_vnni": [*_AVX2, "-mavxvnni"],
    "avx512_vnni": _AVX512,
    "avx512_bf16": [*_AVX512, "-mavx512bf16"],
    "amx_bf16": [*_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
    "amx_emulated": [*_AVX512, "-mavx512bf16"],
}


class BuildNative(build_ext):
    """Compiles each source with the flags of its instruction set."""

    user_options: ClassVar = [
        *build_ext.user_options,
        ("sanitize", None, "build with address and undefined sanitizers"),
    ]
    boolean_options: ClassVar = [*build_ext.boolean_options, "sanitize"]

    def initialize_options(self) -> None:
        super().initialize_options()
        self.sanitize = False

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; setuptools turns a failure into a warning, because the extension is optional."""
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(self._compiled, ext.sources))
        flags = ["-fopenmp", *(SANITIZE_FLAGS if self.sanitize else [])]
        self.compiler.link_shared_object(objects, str(target), extra_postargs=flags, target_lang="c++")

    def _compiled(self, source: str) -> str:
        """The object file of a source. Where its instructions are unknown it is compiled without them: it then offers
        none."""
        flags = [*COMMON_FLAGS, *(SANITIZE_FLAGS if self.sanitize else [])]
        special = INSTRUCTION_FLAGS.get(Path(source).stem, []) if platform.machine() in ("x86_64", "AMD64") else []
        try:
            return self._object(source, [*flags, *special])
        except CompileError:
            if not special:
                raise
            return self._object(source, flags)

    def _object(self, source: str, flags: list[str]) -> str:
        return self.compiler.compile([source], output_dir=self.build_temp, extra_postargs=flags)[0]


setup(
    ext_modules=[
        Extension(
            "models.native._kernels",
            [str(source) for source in sorted(SOURCES.rglob("*.cpp"))],
            depends=[str(path) for pattern in ("*.h", "*.inc") for path in sorted(SOURCES.rglob(pattern))],
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildNative},
)
