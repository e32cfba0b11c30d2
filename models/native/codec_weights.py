"""The dense weights of a codec decoder's steps out of a checkpoint."""

from collections.abc import Iterator

import torch
from torch import Tensor

from models.architecture import Step
from models.storage import TensorSource


def dense_weights(step: Step, source: TensorSource) -> tuple[Tensor, Tensor | None]:
    """A step's weights float32 [outputs, taps * channels] and its bias [outputs] or None."""

    def named(name: str) -> Tensor:
        return source(name).float()

    if step.exact:
        halves = [f"decoder.quantizer.{part}.output_proj.weight" for part in ("rvq_first", "rvq_rest")]
        return torch.cat([named(half)[..., 0] for half in halves], dim=1), None
    if "_proj" in step.name or "pwconv" in step.name:
        weight, bias = named(f"{step.name}.weight"), named(f"{step.name}.bias")
        if step.add:
            gamma = named(step.name.replace("pwconv2", "gamma"))
            weight, bias = weight * gamma[:, None], bias * gamma
        return weight, bias
    weight, bias = named(f"{step.name}.conv.weight"), named(f"{step.name}.conv.bias")
    if step.rate > 1:
        return _transposed(weight, step), bias.repeat(step.rate)
    rows = weight.permute(0, 2, 1).flatten(1)  # [out, kernel * in]
    padding = step.outputs - len(rows)
    return torch.nn.functional.pad(rows, (0, 0, 0, padding)), torch.nn.functional.pad(bias, (0, padding))


def _transposed(weight: Tensor, step: Step) -> Tensor:
    """[in, out, taps * rate] -> [rate * out, taps * in]. The earlier input is the first tap; it is met by the later
    part of the kernel."""
    parts = weight.unflatten(2, (step.taps, step.rate)).flip(2)  # [in, out, taps, rate]
    return parts.permute(3, 1, 2, 0).flatten(2).flatten(0, 1)


def snake(step: Step, source: TensorSource) -> tuple[Tensor, Tensor]:
    """Frequency and scale of the snake that follows a step, float32 [outputs]."""
    alpha, beta = (source(f"{step.snake}.{name}").float().exp() for name in ("alpha", "beta"))
    return alpha.repeat(step.rate), (1.0 / (beta + 1e-9)).repeat(step.rate)


def codebooks(groups: int, source: TensorSource) -> Iterator[Tensor]:
    """One table [codebook_size, codebook_dim / 2] for each code group."""
    for group in range(groups):
        layer = f"rvq_rest.vq.layers.{group - 1}" if group else "rvq_first.vq.layers.0"
        book = f"decoder.quantizer.{layer}._codebook"
        usage = source(f"{book}.cluster_usage").float().clamp(min=1e-5)
        yield source(f"{book}.embedding_sum").float() / usage[:, None]
