"""Convolutions that train fast on a CPU: activations [batch, time, channels] in bfloat16, which the
two-dimensional convolution takes as channels-last. Weights are float32 in the published layout."""

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve(x: Tensor, weight: Tensor, bias: Tensor, groups: int = 1) -> Tensor:
    """Causal: [batch, time, in] -> [batch, time, out]; weight [out, in / groups, kernel]."""
    wide = F.pad(x, (0, 0, weight.shape[2] - 1, 0)).transpose(1, 2).unsqueeze(2)
    kernel = weight.to(x.dtype).unsqueeze(2).contiguous(memory_format=torch.channels_last)
    return F.conv2d(wide, kernel, bias.to(x.dtype), groups=groups).squeeze(2).transpose(1, 2)


def upsample(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Transposed convolution whose kernel is as long as its stride: [batch, time, in] -> [batch, time * kernel, out];
    weight [in, out, kernel]."""
    y = x @ weight.to(x.dtype).transpose(1, 2).flatten(1)
    return y.reshape(len(x), -1, weight.shape[1]) + bias.to(x.dtype)
