"""Convolutions and activations that train fast on a CPU: activations [batch, time, channels] in bfloat16, which the
two-dimensional convolution takes as channels-last. Weights are float32 in the published layout."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1, stride: int = 1, groups: int = 1
) -> Tensor:
    """Causal: [batch, time, in] -> [batch, time / stride, out]; weight [out, in / groups, kernel]."""
    before = (weight.shape[2] - 1) * dilation + 1 - stride
    wide = F.pad(x, (0, 0, before, 0)).transpose(1, 2).unsqueeze(2)
    kernel = weight.to(x.dtype).unsqueeze(2).contiguous(memory_format=torch.channels_last)
    offset = None if bias is None else bias.to(x.dtype)
    y = F.conv2d(wide, kernel, offset, (1, stride), dilation=(1, dilation), groups=groups)
    return y.squeeze(2).transpose(1, 2)


def upsample(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Transposed convolution whose kernel is one or two strides long: [batch, time, in] -> [batch, time * stride,
    out]; weight [in, out, kernel]. The second half of an input's output overlaps the next input's."""
    inputs, outputs, kernel = weight.shape
    halves = kernel // stride
    by_half = weight.to(x.dtype).reshape(inputs, outputs, halves, stride).permute(0, 2, 3, 1).reshape(inputs, -1)
    y = (x @ by_half).unflatten(2, (halves, stride * outputs))
    total = y[:, :, 0] if halves == 1 else y[:, :, 0] + F.pad(y[:, :-1, 1], (0, 0, 1, 0))
    return total.reshape(len(x), -1, outputs) + bias.to(x.dtype)


class _Snake(torch.autograd.Function):
    """With one sine and one cosine for both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        frequency, scale = alpha.exp(), (-beta).exp()
        angle = x.float() * (2 * frequency)
        rest = 1 - angle.cos()
        ctx.save_for_backward(x, angle.sin_().to(x.dtype), rest.to(x.dtype), frequency, scale)
        return (rest * (0.5 * scale)).add_(x).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, sine, rest, frequency, scale = ctx.saved_tensors
        gradient = gradients[0]
        slope = (gradient * sine) * (frequency * scale).to(x.dtype)
        for_alpha = (slope * x).sum((0, 1), dtype=torch.float32)
        for_beta = (gradient * rest).sum((0, 1), dtype=torch.float32) * (-0.5 * scale)
        return gradient + slope, for_alpha, for_beta


def snake(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """x + sin(a x)^2 / b; alpha and beta are logarithms per channel (https://arxiv.org/abs/2006.08195)."""
    return _Snake.apply(x, alpha, beta)
