"""The compiled library: found, loaded, and its instruction set chosen."""

import ctypes
import functools
import importlib.machinery
import logging
from pathlib import Path

# The library must find the OpenMP runtime that torch ships, so torch is loaded first: one team of threads, not two.
import torch

from models.errors import SpeechError
from models.native.packing import LAYOUT_VERSION

_log = logging.getLogger(__name__)

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "speech_instruction_sets": (ctypes.c_char_p, []),
    "speech_kernels": (_POINTER, [ctypes.c_char_p]),
    "speech_multiply": (_INT, [_POINTER, _POINTER, _POINTER, _INT, _POINTER, _INT]),
    "speech_stack_create": (_POINTER, [_POINTER, _POINTER]),
    "speech_stack_destroy": (None, [_POINTER]),
    "speech_stack_workspace": (ctypes.c_int64, [_POINTER]),
    "speech_stack_forward": (_INT, [_POINTER, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER, _INT, _INT]),
    "speech_predictor_create": (_POINTER, [_POINTER, _POINTER]),
    "speech_predictor_destroy": (None, [_POINTER]),
    "speech_predictor_workspace": (ctypes.c_int64, [_POINTER]),
    "speech_predictor_run": (_INT, [_POINTER, _POINTER, _INT]),
    "speech_codec_create": (_POINTER, [_POINTER, _POINTER]),
    "speech_codec_destroy": (None, [_POINTER]),
    "speech_codec_workspace": (ctypes.c_int64, [_POINTER]),
    "speech_codec_state": (ctypes.c_int64, [_POINTER]),
    "speech_codec_run": (_INT, [_POINTER, _POINTER, _INT]),
    "speech_sample": (_INT, [_POINTER, _INT, _POINTER, ctypes.c_double]),
}


class NativeError(SpeechError):
    """The native library refused a call or cannot serve it."""


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The loaded library; None where nothing was compiled or it does not load."""
    return _load(Path(__file__).parent)


def _load(directory: Path) -> ctypes.CDLL | None:
    candidates = [directory / f"_kernels{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    path = next((candidate for candidate in candidates if candidate.exists()), None)
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        _log.warning("the native kernels do not load, the torch reference serves: %s", error)
        return None
    if not hasattr(library, "speech_layout_version") or library.speech_layout_version() != LAYOUT_VERSION:
        _log.warning("the native kernels were compiled from other sources, the torch reference serves: install again")
        return None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def available() -> bool:
    """Whether the library was compiled and loads."""
    return _library() is not None


def instruction_sets() -> tuple[str, ...]:
    """Instruction sets this machine has kernels for, best first; empty without the library."""
    library = _library()
    return tuple(library.speech_instruction_sets().decode().split(",")) if library else ()


class Kernels:
    """The library's functions for one instruction set and number of threads."""

    def __init__(self, instructions: str | None = None, threads: int | None = None) -> None:
        """`instructions` None takes the best of `instruction_sets()`; `threads` None takes torch's number.

        Raises NativeError when the library or the instruction set is not to be had here.
        """
        library = _library()
        if library is None:
            raise NativeError("the native kernels are not compiled")
        self.library = library
        self.instructions = instructions or instruction_sets()[0]
        self.threads = threads or torch.get_num_threads()
        self.handle: int | None = library.speech_kernels(self.instructions.encode())
        if self.handle is None:
            raise NativeError(f"no {self.instructions} kernels here, only {', '.join(instruction_sets())}")


def check(result: int, call: str) -> None:
    """Turn a negative result of the library into an exception."""
    if result == -2:
        raise MemoryError(f"{call}: out of memory")
    if result < 0:
        raise NativeError(f"{call}: bad argument")
