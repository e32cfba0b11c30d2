"""A WAV header against the bytes that follow it: decoders quietly believe one or the other, a library must not."""

import struct
from collections.abc import Generator
from typing import NamedTuple

UNKNOWN_SIZE = 0xFFFFFFFF  # written by programs that stream, ours included: the audio runs to the end of the file
RIFF_SLACK = 8  # some writers count the eight bytes of the RIFF header itself
UNCOMPRESSED_FORMATS = (1, 3)  # integer and floating-point PCM
MAX_CHUNKS = 1000  # honest files have a dozen; decoders keep a record of each


class _Chunk(NamedTuple):
    name: bytes
    size: int
    start: int


def wav_header_lie(data: bytes) -> str | None:
    """What a RIFF WAV header says that its bytes do not bear out; None for an honest header or another format."""
    if data[:4] not in (b"RIFF", b"RIFX") or data[8:12] != b"WAVE":
        return None
    order = "<" if data[:4] == b"RIFF" else ">"
    riff_size: int = struct.unpack_from(f"{order}I", data, 4)[0]
    if riff_size != UNKNOWN_SIZE and riff_size > len(data) - 8 + RIFF_SLACK:
        return f"its header declares {riff_size + 8} bytes, {len(data)} are there"
    found: _Chunk | None = None
    for count, chunk in enumerate(_chunks(data, order), start=1):
        if count > MAX_CHUNKS:
            return f"it has more than {MAX_CHUNKS} chunks"
        if found is None and chunk.name == b"fmt " and (lie := _format_lie(data, chunk, order)):
            return lie
        if chunk.name == b"data":
            found = found or chunk
    return "it has no audio data" if found is None else _data_lie(len(data), riff_size, found)


def _chunks(data: bytes, order: str) -> Generator[_Chunk]:
    start = 12
    while start + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, start)
        yield _Chunk(name, size, start + 8)
        start += 8 + size + size % 2


def _format_lie(data: bytes, chunk: _Chunk, order: str) -> str | None:
    if chunk.size < 16 or chunk.start + 16 > len(data):
        return "its format chunk is too small"
    kind, channels, _, _, frame_bytes, bits = struct.unpack_from(f"{order}HHIIHH", data, chunk.start)
    if kind in UNCOMPRESSED_FORMATS and frame_bytes != channels * ((bits + 7) // 8):
        return f"its header declares frames of {frame_bytes} bytes for {channels} channels of {bits} bits"
    return None


def _data_lie(file_bytes: int, riff_size: int, chunk: _Chunk) -> str | None:
    if chunk.size == UNKNOWN_SIZE:
        return None
    there = file_bytes - chunk.start
    if chunk.size > there:
        return f"its header declares {chunk.size} bytes of audio, {there} are there"
    if riff_size != UNKNOWN_SIZE and chunk.start + chunk.size > riff_size + 8 + RIFF_SLACK:
        return f"its header declares a file of {riff_size + 8} bytes around {chunk.size} bytes of audio"
    return None
