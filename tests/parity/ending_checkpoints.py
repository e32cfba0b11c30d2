"""Checkpoints whose talker wants to end speech at every step, or never."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.architecture import read_architecture


def _with_end_of_speech(source: Path, directory: Path, row: Tensor | None, others: float) -> Path:
    """A copy of `source` with another row for end of speech in the talker's head, the other rows scaled."""
    shutil.copytree(source, directory)
    path = directory / "model.safetensors"
    tensors = load_file(path)
    head = tensors["talker.codec_head.weight"]
    head *= others
    head[read_architecture(source).tokens.eos] = torch.zeros_like(head[0]) if row is None else row
    save_file(tensors, path, metadata={"format": "pt"})
    return directory


def write_eager_checkpoint(source: Path, directory: Path) -> Path:
    """End of speech's logit is thousands of times as wide as any other.

    On the prompts of the test it is positive, which the test notices by the length of what is spoken.
    """
    norm = load_file(source / "model.safetensors")["talker.model.norm.weight"].float()
    return _with_end_of_speech(source, directory, (norm.sign() * 1000).to(torch.bfloat16), others=0.01)


def write_endless_checkpoint(source: Path, directory: Path) -> Path:
    """End of speech's logit is always zero, far below the largest of the others."""
    return _with_end_of_speech(source, directory, None, others=1.0)
