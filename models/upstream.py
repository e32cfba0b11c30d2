"""The one door to the package `qwen_tts`, the reference for behaviour that tests and benchmarks compare with.

The package imports torchaudio for its 25 Hz speech tokenizer, which nothing here uses, and the torchaudio that a
package index resolves often does not import beside a CPU build of torch. While `qwen_tts` is imported for the first
time, empty modules stand in for torchaudio; they are removed afterwards, so that nobody else meets them.
"""

import importlib
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

_STAND_INS = ("torchaudio", "torchaudio.compliance", "torchaudio.compliance.kaldi")


def _empty_module(name: str) -> ModuleType:
    module = ModuleType(name, "Stands in for torchaudio while qwen_tts is imported.")
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    return module


@contextmanager
def _without_torchaudio() -> Generator[None]:
    if "torchaudio" in sys.modules:  # somebody's torchaudio works: leave it alone
        yield
        return
    modules = {name: _empty_module(name) for name in _STAND_INS}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def import_upstream(module: str = "qwen_tts") -> ModuleType:
    """Import `qwen_tts` or one of its modules; slow the first time (transformers comes with it)."""
    importlib.import_module("transformers")  # looks for torchaudio too, and must not find the stand-in
    with _without_torchaudio():
        return importlib.import_module(module)
