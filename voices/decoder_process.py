"""The process in which clips of strangers are decoded: `python -m voices.decoder_process`, see `voices.clip_decoder`.

A decoder that a clip makes crash, hang or ask for all memory takes nothing down with it but itself. Whole messages go
in and out: a clip in; samples, or the reason why there are none, out.
"""

import resource
import struct
import sys
from typing import IO

import numpy as np

from voices.errors import ReferenceAudioError
from voices.reference_audio import read_reference_audio

READY = b"!"  # the first byte, before any message
SAMPLES, REFUSAL = b"S", b"R"  # the first byte of an answer
LENGTH = struct.Struct("<Q")
MEMORY_BYTES = 512 << 20  # more than the process has when it starts; the longest honest clip takes a quarter of it
CPU_SECONDS = 10  # for one clip; the longest honest one takes less than one


def read_message(stream: IO[bytes]) -> bytes | None:
    """None at the end of the stream, also in the middle of a message."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    length = LENGTH.unpack(head)[0]
    content = stream.read(length)
    return content if len(content) == length else None


def write_message(stream: IO[bytes], content: bytes) -> None:
    """Raises BrokenPipeError where nobody reads."""
    stream.write(LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def answer(clip: bytes) -> bytes:
    """The samples of a clip, or why it is refused."""
    try:
        return SAMPLES + np.ascontiguousarray(read_reference_audio(clip).samples, "<f4").tobytes()
    except ReferenceAudioError as error:
        return REFUSAL + error.message.encode()
    except MemoryError:
        return REFUSAL + b"undecodable: it takes more memory than a clip may"


def _limit_memory() -> None:
    """No files of its own either: nothing of a clip is written anywhere, a core dump neither."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY_BYTES)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(limit: int, value: int) -> None:
    soft, hard = resource.getrlimit(limit)
    bounds = [bound for bound in (soft, hard, value) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(limit, (min(bounds), hard))


def _limit_time() -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_SECONDS, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main() -> None:
    """Answer clips until there are no more."""
    _limit_memory()
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    while (clip := read_message(sys.stdin.buffer)) is not None:
        _limit_time()
        write_message(sys.stdout.buffer, answer(clip))


if __name__ == "__main__":
    main()
