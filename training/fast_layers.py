"""Convolutions that train fast on a CPU: activations [batch, time, channels] in bfloat16, which the
two-dimensional convolution takes as channels-last. Weights are float32 in the published layout."""

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
