"""Writing a safetensors file one tensor at a time, so that memory holds one tensor and not the file."""

import json
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch

DTYPE_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
}
PADDING_PREFIX = "__padding__"  # tensors that only align what follows them: the format forbids gaps


class SafetensorsWriter:
    """An open file; the header is written into the room reserved for it when everything else is there."""

    def __init__(self, path: Path, header_room: int, alignment: int = 1) -> None:
        """`header_room` in bytes must hold the header; every tensor starts at a multiple of `alignment` bytes."""
        self._file: BinaryIO = path.open("wb")
        self._alignment = alignment
        self._header_room = -(-(header_room + 8) // 64) * 64 - 8  # so that data starts at a multiple of 64
        self._header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        self._offset = 0
        self._file.seek(8 + self._header_room)

    def __enter__(self) -> "SafetensorsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._finish()

    def _append(self, name: str, tensor: torch.Tensor) -> None:
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy()
        self._file.write(data.data)
        self._header[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [self._offset, self._offset + data.nbytes],
        }
        self._offset += data.nbytes

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Append one tensor."""
        gap = -self._offset % self._alignment
        if gap:
            self._append(f"{PADDING_PREFIX}{self._offset}", torch.zeros(gap, dtype=torch.uint8))
        self._append(name, tensor)

    def _finish(self) -> None:
        header = json.dumps(self._header, separators=(",", ":")).encode()
        assert len(header) <= self._header_room, "more tensors than the header was given room for"
        self._file.seek(0)
        self._file.write(self._header_room.to_bytes(8, "little"))
        self._file.write(header.ljust(self._header_room))
