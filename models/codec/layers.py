"""Layers of the codec decoder that can be fed piece by piece: what a layer needs of the past is carried.

All convolutions are causal and see zeros before the first frame, so a layer given its carried past computes exactly
what it would have computed on the whole utterance. Activations are [sequences, channels, time].
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import RESIDUAL_DILATIONS

Carry = list[Tensor]  # one entry a layer that remembers: [sequences, ...]
Weights = Callable[[str], Tensor]  # name -> tensor, converted to the decoder's precision


def clipped(samples: Tensor) -> Tensor:
    """Samples as they may be heard, -1..1, in place. An infinity becomes a NaN: clipped, it would pass for a sound."""
    return samples.masked_fill_(samples.isinf(), torch.nan).clamp_(-1, 1)


class CausalConvolution:
    """A dilated, possibly grouped convolution that remembers the last (kernel - 1) * dilation inputs."""

    def __init__(
        self, weights: Weights, name: str, carries: list[torch.Size], dilation: int = 1, groups: int = 1
    ) -> None:
        self.weight = weights(f"{name}.conv.weight")  # [out, in / groups, kernel]
        self.bias = weights(f"{name}.conv.bias")
        self.dilation, self.groups = dilation, groups
        self.past = (self.weight.shape[2] - 1) * dilation
        self.slot = len(carries)
        if self.past:
            carries.append(torch.Size((self.weight.shape[1] * groups, self.past)))

    def __call__(self, x: Tensor, carry: Carry) -> Tensor:
        if self.past:
            x = torch.cat((carry[self.slot], x), dim=-1)
            carry[self.slot] = x[..., -self.past :]
        return F.conv1d(x, self.weight, self.bias, dilation=self.dilation, groups=self.groups)


class CausalUpsampling:
    """A transposed convolution whose kernel is one or two strides long; of two, the second half of each input's
    output overlaps the next input's and is remembered. Written as a pointwise convolution and an addition."""

    def __init__(self, weights: Weights, name: str, carries: list[torch.Size], stride: int) -> None:
        weight = weights(f"{name}.conv.weight")  # [in, out, kernel]
        self.bias = weights(f"{name}.conv.bias")[:, None]
        channels, self.out, kernel = weight.shape
        self.stride, self.halves = stride, kernel // stride
        assert kernel in (stride, 2 * stride)
        by_half = weight.reshape(channels, self.out, self.halves, stride).permute(2, 1, 3, 0)
        self.weight = by_half.reshape(-1, channels, 1).contiguous()  # [halves * out * stride, in, 1]
        self.slot = len(carries)
        if self.halves == 2:
            carries.append(torch.Size((self.out, stride)))

    def __call__(self, x: Tensor, carry: Carry) -> Tensor:
        y = F.conv1d(x, self.weight).unflatten(1, (self.halves, self.out, self.stride))
        y = y.permute(1, 0, 2, 4, 3).flatten(3)  # [halves, sequences, out, time * stride]
        if self.halves == 1:
            return y[0] + self.bias
        overlap = torch.cat((carry[self.slot], y[1]), dim=-1)
        carry[self.slot] = overlap[..., -self.stride :]
        return y[0] + overlap[..., : -self.stride] + self.bias


class Snake:
    """x + sin(a x)^2 / b with learnt a and b per channel, stored as logarithms (https://arxiv.org/abs/2006.08195)."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.frequency = weights(f"{name}.alpha").float().exp()[:, None]
        self.scale = 1.0 / (weights(f"{name}.beta").float().exp()[:, None] + 1e-9)

    def __call__(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * self.frequency).sin_().square_().mul_(self.scale).add_(wide).to(x.dtype)


class ConvNeXt:
    """Depthwise convolution, norm over channels, two pointwise layers, residual."""

    def __init__(self, weights: Weights, name: str, carries: list[torch.Size]) -> None:
        channels = weights(f"{name}.gamma").shape[0]
        self.depthwise = CausalConvolution(weights, f"{name}.dwconv", carries, groups=channels)
        self.norm = weights(f"{name}.norm.weight"), weights(f"{name}.norm.bias")
        self.widen = weights(f"{name}.pwconv1.weight"), weights(f"{name}.pwconv1.bias")
        self.narrow = weights(f"{name}.pwconv2.weight"), weights(f"{name}.pwconv2.bias")
        self.gamma = weights(f"{name}.gamma")

    def __call__(self, x: Tensor, carry: Carry) -> Tensor:
        y = self.depthwise(x, carry).transpose(1, 2)
        y = F.layer_norm(y, (y.shape[-1],), *self.norm, eps=1e-6)
        y = F.linear(F.gelu(F.linear(y, *self.widen)), *self.narrow)
        return x + (self.gamma * y).transpose(1, 2)


class ResidualUnit:
    """Snake, dilated convolution, snake, pointwise convolution, residual."""

    def __init__(self, weights: Weights, name: str, carries: list[torch.Size], dilation: int) -> None:
        self.first = Snake(weights, f"{name}.act1")
        self.dilated = CausalConvolution(weights, f"{name}.conv1", carries, dilation)
        self.second = Snake(weights, f"{name}.act2")
        self.pointwise = CausalConvolution(weights, f"{name}.conv2", carries)

    def __call__(self, x: Tensor, carry: Carry) -> Tensor:
        y = self.dilated(self.first(x), carry)
        return x + self.pointwise(self.second(y), carry)


class DecoderBlock:
    """One upsampling step of the waveform decoder."""

    def __init__(self, weights: Weights, name: str, carries: list[torch.Size], rate: int) -> None:
        self.snake = Snake(weights, f"{name}.0")
        self.upsampling = CausalUpsampling(weights, f"{name}.1", carries, rate)
        self.units = [
            ResidualUnit(weights, f"{name}.{number}", carries, dilation)
            for number, dilation in enumerate(RESIDUAL_DILATIONS, start=2)
        ]

    def __call__(self, x: Tensor, carry: Carry) -> Tensor:
        x = self.upsampling(self.snake(x), carry)
        for unit in self.units:
            x = unit(x, carry)
        return x

    @classmethod
    def reach(cls, rate: int) -> float:
        """Inputs of the block that its output can depend on beyond the current one."""
        return 1 + math.ceil(6 * sum(RESIDUAL_DILATIONS) / rate)
