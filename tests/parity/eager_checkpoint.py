"""A checkpoint whose talker wants to end speech at every step."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from models.architecture.speaking import read_architecture


def write_eager_checkpoint(source: Path, directory: Path) -> Path:
    """A copy of `source` whose end-of-speech logit is thousands of times as wide as any other.

    On the prompts of the test it is positive, which the test notices by the length of what is spoken.
    """
    shutil.copytree(source, directory)
    path = directory / "model.safetensors"
    tensors = load_file(path)
    head, norm = tensors["talker.codec_head.weight"], tensors["talker.model.norm.weight"].float()
    head *= 0.01
    head[read_architecture(source).tokens.eos] = (norm.sign() * 1000).to(torch.bfloat16)
    save_file(tensors, path, metadata={"format": "pt"})
    return directory
