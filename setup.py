"""Builds the native kernels; everything else about the package stands in pyproject.toml.

The library is plain C++ behind a C interface, loaded with ctypes. Each instruction set is a translation unit of its own
with its own flags; which one runs is decided when the library is loaded. Without a compiler the installation goes on:
the torch reference then serves.

`python setup.py build_ext --sanitize ...` builds it with AddressSanitizer and UndefinedBehaviorSanitizer.
"""

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("models/native/src")
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
]
SANITIZE_FLAGS = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
_AVX2 = ["-mavx2", "-mfma"]
_AVX512 = [*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni"]
INSTRUCTION_FLAGS = {
    "avx2": _AVX2,
    "avx2_vnni": [*_AVX2, "-mavxvnni"],
    "avx512_vnni": _AVX512,
    "avx512_bf16": [*_AVX512, "-mavx512bf16"],
}
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")


def native_sources() -> list[str]:
    """Every translation unit this processor family can use."""
    sources = sorted(SOURCES.glob("*.cpp"))
    return [str(source) for source in sources if IS_X86 or source.stem not in INSTRUCTION_FLAGS]


class BuildNative(build_ext):
    """Compiles each source with the flags of its instruction set."""

    user_options: ClassVar = [*build_ext.user_options, ("sanitize", None, "build with address and undefined sanitizers")]
    boolean_options: ClassVar = [*build_ext.boolean_options, "sanitize"]

    def initialize_options(self) -> None:
        super().initialize_options()
        self.sanitize = False

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; setuptools turns a failure into a warning, because the extension is optional."""
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        extra = SANITIZE_FLAGS if self.sanitize else []

        def compiled(source: str) -> list[str]:
            flags = [*COMMON_FLAGS, *INSTRUCTION_FLAGS.get(Path(source).stem, []), *extra]
            macros = [("SPEECH_X86", None)] if IS_X86 else []
            return self.compiler.compile(
                [source], output_dir=self.build_temp, macros=macros, extra_postargs=flags, depends=ext.depends
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = [name for names in pool.map(compiled, ext.sources) for name in names]
        self.compiler.link_shared_object(objects, str(target), extra_postargs=["-fopenmp", *extra], target_lang="c++")


setup(
    ext_modules=[
        Extension(
            "models.native._kernels",
            native_sources(),
            depends=[str(path) for pattern in ("*.h", "*.inc") for path in sorted(SOURCES.glob(pattern))],
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildNative},
)
