"""Reference audio to codes: the speech tokenizer's encoder, which is Mimi's (Défossez et al., 2024).

In float32 and in the order of operations of transformers' MimiModel, so that codes are upstream's. That model attends
to everything before a position, whatever `sliding_window` says.
"""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import CodecEncoderDimensions
from models.language import rotary_table, rotate

TensorSource = Callable[[str], Tensor]
Carry = dict[str, Tensor]  # name of a convolution -> the last inputs of the piece before: [1, channels, past]

_PIECE = 25  # steps of the convolutions: a second
_DOWNSAMPLING = 2  # of the last convolution, before the quantiser
_EPSILON = 1e-5  # least usage of a codebook's entry


class CodecEncoder:
    """The codec encoder of a checkpoint. Weights in float32 are used where they are mapped, others are widened."""

    def __init__(self, dimensions: CodecEncoderDimensions, source: TensorSource) -> None:
        self._dimensions = dimensions
        self._tensors = source

    def _source(self, name: str) -> Tensor:
        return self._tensors(name).float()

    def encode(self, samples: Tensor) -> Tensor:
        """Samples [samples] at the encoder's rate -> codes int64 [frames, code groups]; the last frame is filled up."""
        x = self._convolve(samples[None, None])
        x = self._transform(x.transpose(1, 2)).transpose(1, 2)
        frames = -(-len(samples) // self._dimensions.samples_per_frame)
        return torch.stack(list(self._quantize(self._downsample(x))), dim=1)[:frames]

    def _convolution(self, x: Tensor, name: str, carry: Carry, stride: int = 1, dilation: int = 1) -> Tensor:
        """Causal; zeros stand before the first piece and fill up the last one."""
        weight, bias = self._source(f"encoder.{name}.conv.weight"), self._source(f"encoder.{name}.conv.bias")
        past = (weight.shape[2] - 1) * dilation + 1 - stride
        if past:
            x = torch.cat((carry.get(name, x.new_zeros(1, x.shape[1], past)), x), dim=2)
            carry[name] = x[:, :, -past:].clone()
        return F.conv1d(F.pad(x, (0, -(x.shape[2] - past) % stride)), weight, bias, stride, dilation=dilation)

    def _convolve(self, x: Tensor) -> Tensor:
        """Samples [1, 1, samples] -> [1, hidden, steps], piece by piece: whole, half a minute takes 700 MB."""
        carry: Carry = {}
        step = math.prod(self._dimensions.ratios)
        return torch.cat([self._convolve_piece(piece, carry) for piece in x.split(_PIECE * step, dim=2)], dim=2)

    def _convolve_piece(self, x: Tensor, carry: Carry) -> Tensor:
        dimensions = self._dimensions
        x = self._convolution(x, "encoder.layers.0", carry)
        layer = 1  # activations count as layers too
        for ratio in reversed(dimensions.ratios):
            for depth in range(dimensions.residual_layers):
                name, dilation = f"encoder.layers.{layer}.block", dimensions.dilation_growth**depth
                y = self._convolution(F.elu(x), f"{name}.1", carry, dilation=dilation)
                x = x + self._convolution(F.elu(y), f"{name}.3", carry)
                layer += 1
            x = self._convolution(F.elu(x), f"encoder.layers.{layer + 1}", carry, stride=ratio)
            layer += 2
        return self._convolution(F.elu(x), f"encoder.layers.{layer + 1}", carry)

    def _downsample(self, x: Tensor) -> Tensor:
        """Steps [1, hidden, steps] -> frames [1, hidden, frames]; the outermost steps are repeated at both ends."""
        weight = self._source("encoder.downsample.conv.weight")
        padding = (weight.shape[2] - _DOWNSAMPLING, -x.shape[2] % _DOWNSAMPLING)
        return F.conv1d(F.pad(x, padding, mode="replicate"), weight, stride=_DOWNSAMPLING)

    def _transform(self, x: Tensor) -> Tensor:
        """[1, steps, hidden] -> the same."""
        dimensions = self._dimensions
        cosines, sines = rotary_table(torch.arange(x.shape[1]), dimensions.head_dim, dimensions.rope_theta)
        for layer in range(dimensions.layers):
            name = f"encoder.encoder_transformer.layers.{layer}"
            attended = self._attend(self._norm(x, f"{name}.input_layernorm"), f"{name}.self_attn", cosines, sines)
            x = x + self._source(f"{name}.self_attn_layer_scale.scale") * attended
            hidden = F.gelu(self._linear(self._norm(x, f"{name}.post_attention_layernorm"), f"{name}.mlp.fc1"))
            x = x + self._source(f"{name}.mlp_layer_scale.scale") * self._linear(hidden, f"{name}.mlp.fc2")
        return x

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._source(f"{name}.weight"), self._source(f"{name}.bias")
        return F.layer_norm(x, weight.shape, weight, bias, self._dimensions.norm_eps)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._source(f"{name}.weight"))

    def _attend(self, x: Tensor, name: str, cosines: Tensor, sines: Tensor) -> Tensor:
        dimensions = self._dimensions

        def heads(part: str, count: int) -> Tensor:
            return self._linear(x, f"{name}.{part}_proj").view(1, -1, count, dimensions.head_dim).transpose(1, 2)

        query = rotate(heads("q", dimensions.heads), cosines, sines)
        key = rotate(heads("k", dimensions.kv_heads), cosines, sines)
        value = heads("v", dimensions.kv_heads)  # [1, kv_heads, steps, head_dim]
        repeats = dimensions.heads // dimensions.kv_heads
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=x.shape[1] > 1)
        return self._linear(mixed.transpose(1, 2).reshape(1, x.shape[1], -1), f"{name}.o_proj")

    def _quantize(self, x: Tensor) -> Iterator[Tensor]:
        """Codes of each group, int64 [frames]: the semantic quantisers', then the acoustic ones'."""
        dimensions = self._dimensions
        semantic = dimensions.semantic_quantizers
        for name, count in (("semantic", semantic), ("acoustic", dimensions.code_groups - semantic)):
            prefix = f"encoder.quantizer.{name}_residual_vector_quantizer"
            residual = x
            if dimensions.quantizer_dim != dimensions.hidden:
                residual = F.conv1d(x, self._source(f"{prefix}.input_proj.weight"))
            for layer in range(count):
                table = self._codebook(f"{prefix}.layers.{layer}.codebook")
                codes = torch.cdist(residual.transpose(1, 2), table[None])[0].argmin(dim=-1)
                residual = residual - F.embedding(codes, table).T[None]
                yield codes

    def _codebook(self, name: str) -> Tensor:
        """Its entries: float32 [codebook, quantiser's dimension]."""
        usage = self._source(f"{name}.cluster_usage").clamp(min=_EPSILON)
        return self._source(f"{name}.embed_sum") / usage[:, None]
