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
from models.native.sources import sources_digest
from models.native.structures import structure_sizes

_log = logging.getLogger(__name__)

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "speech_abi": (ctypes.c_char_p, []),
    "speech_instruction_sets": (ctypes.c_char_p, []),
    "speech_kernels": (_POINTER, [ctypes.c_char_p]),
    "speech_multiply": (_INT, [_POINTER, _POINTER, _POINTER, _INT, _POINTER, _INT]),
    "speech_stack_create": (_POINTER, [_POINTER, _POINTER]),
    "speech_stack_destroy": (None, [_POINTER]),
    "speech_stack_forward": (_INT, [_POINTER, _POINTER, _POINTER, _POINTER, _POINTER, _INT, _INT]),
    "speech_predictor_create": (_POINTER, [_POINTER, _POINTER]),
    "speech_predictor_destroy": (None, [_POINTER]),
    "speech_predictor_run": (_INT, [_POINTER, _POINTER, _INT]),
    "speech_codec_create": (_POINTER, [_POINTER, _POINTER]),
    "speech_codec_destroy": (None, [_POINTER]),
    "speech_codec_state": (ctypes.c_int64, [_POINTER]),
    "speech_codec_run": (_INT, [_POINTER, _POINTER, _INT]),
    "speech_sample": (_INT, [_POINTER, _INT, _POINTER, ctypes.c_double]),
}


class NativeError(SpeechError):
    """The native library refused a call or cannot serve it."""


@functools.cache
def _library() -> ctypes.CDLL | NativeError:
    """The loaded library, or why there is none."""
    try:
        return _load(Path(__file__).parent)
    except NativeError as error:
        return error


def _load(directory: Path) -> ctypes.CDLL:
    """Raises NativeError where nothing was compiled, it does not load, or it was left behind by newer sources."""
    candidates = [directory / f"_kernels{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    path = next((candidate for candidate in candidates if candidate.exists()), None)
    if path is None:
        raise NativeError("the native kernels are not compiled")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise _unusable(f"the native kernels do not load: {error}") from None
    differing = _differing(library)
    if differing:
        message = f"{path.name} was compiled from other sources than those beside it ({', '.join(differing)} differ)"
        raise _unusable(f"{message}: run `python setup.py build_ext --inplace`, or install again")
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _unusable(reason: str) -> NativeError:
    """Said at once and loudly: what serves instead is many times slower."""
    _log.error("plain torch serves, many times slower: %s", reason)
    return NativeError(reason)


def _differing(library: ctypes.CDLL) -> list[str]:
    """What the library was compiled with and is not what this package has: calling it would corrupt memory."""
    expected = dict(part.split("=") for part in (f"layout={LAYOUT_VERSION}", *structure_sizes()))
    if (sources := sources_digest()) is not None:
        expected["sources"] = sources
    if not hasattr(library, "speech_abi"):
        return ["all"]
    library.speech_abi.restype = ctypes.c_char_p
    compiled = dict(part.split("=") for part in library.speech_abi().decode().split())
    return [name for name, value in expected.items() if compiled.get(name) != value]


def why_unavailable() -> str | None:
    """Why there is no library to use; None where there is one."""
    found = _library()
    return str(found) if isinstance(found, NativeError) else None


def available() -> bool:
    """Whether the library was compiled, from these sources, and loads."""
    return why_unavailable() is None


def instruction_sets() -> tuple[str, ...]:
    """Instruction sets this machine has kernels for, best first; empty without the library."""
    library = _library()
    return () if isinstance(library, NativeError) else tuple(library.speech_instruction_sets().decode().split(","))


class Kernels:
    """The library's functions for one instruction set and number of threads."""

    def __init__(self, instructions: str | None = None, threads: int | None = None) -> None:
        """`instructions` None takes the best of `instruction_sets()`; `threads` None takes torch's number.

        Raises NativeError when the library or the instruction set is not to be had here.
        """
        library = _library()
        if isinstance(library, NativeError):
            raise NativeError(str(library))
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
