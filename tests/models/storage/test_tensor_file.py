"""Mapped tensor files: pages that were read can be given back."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from models.storage.tensor_file import TensorFile

BYTES = 64 * 1024 * 1024


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_released_pages_are_not_resident_and_come_back(tmp_path: Path) -> None:
    save_file({"a": torch.arange(BYTES // 8), "b": torch.ones(3)}, tmp_path / "file.safetensors")
    file = TensorFile([tmp_path / "file.safetensors"])
    before = _resident()
    total = int(file.tensor("a").sum())
    assert _resident() - before > BYTES / 2
    file.release()
    assert _resident() - before < BYTES / 4
    assert int(file.tensor("a").sum()) == total
