"""The codec decoder's transformer: attention over a sliding window, layer scales, no norm on queries and keys."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import CodecDecoderDimensions
from models.codec.layers import Carry, Weights
from models.language import rms_norm, rotary_table, rotate


class CodecTransformer:
    """Carries the keys and values of the last `window` - 1 positions, rotated, zeros where there were none yet."""

    def __init__(self, weights: Weights, dimensions: CodecDecoderDimensions, carries: list[torch.Size]) -> None:
        self.dimensions = dimensions
        prefix = "decoder.pre_transformer"
        self.entry = weights(f"{prefix}.input_proj.weight"), weights(f"{prefix}.input_proj.bias")
        self.exit = weights(f"{prefix}.output_proj.weight"), weights(f"{prefix}.output_proj.bias")
        self.norm = weights(f"{prefix}.norm.weight")
        self.layers = [_Layer(weights, f"{prefix}.layers.{i}", dimensions, carries) for i in range(dimensions.layers)]

    def __call__(self, x: Tensor, carry: Carry, done: Tensor) -> Tensor:
        """x [sequences, frames, latent], done int64 [sequences]: frames decoded before these."""
        dims, frames = self.dimensions, x.shape[1]
        x = F.linear(x, *self.entry)
        positions = done[:, None] + torch.arange(frames)
        cosines, sines = rotary_table(positions.flatten(), dims.head_dim, dims.rope_theta)
        shape = (len(x), 1, frames, dims.head_dim)
        rotary = cosines.view(shape).to(x.dtype), sines.view(shape).to(x.dtype)
        visible = _visible(done, frames, dims.window)
        for layer in self.layers:
            x = layer(x, carry, rotary, visible)
        return F.linear(rms_norm(x, self.norm, dims.norm_eps), *self.exit)


def _visible(done: Tensor, frames: int, window: int) -> Tensor:
    """Which of the carried and new positions each new one sees: bool [sequences, 1, frames, window - 1 + frames]."""
    query = torch.arange(frames)[:, None] + window - 1
    key = torch.arange(window - 1 + frames)[None, :]
    near = (key <= query) & (key > query - window)
    exists = key[None] >= (window - 1 - done)[:, None, None]
    return (near & exists)[:, None]


class _Layer:
    def __init__(
        self, weights: Weights, name: str, dimensions: CodecDecoderDimensions, carries: list[torch.Size]
    ) -> None:
        self.dimensions = dimensions
        projections = [weights(f"{name}.self_attn.{part}_proj.weight") for part in "qkv"]
        self.qkv = torch.cat(projections)
        self.output = weights(f"{name}.self_attn.o_proj.weight")
        self.gate_up = torch.cat([weights(f"{name}.mlp.{part}_proj.weight") for part in ("gate", "up")])
        self.down = weights(f"{name}.mlp.down_proj.weight")
        self.norms = weights(f"{name}.input_layernorm.weight"), weights(f"{name}.post_attention_layernorm.weight")
        self.scales = weights(f"{name}.self_attn_layer_scale.scale"), weights(f"{name}.mlp_layer_scale.scale")
        self.slot = len(carries)
        past = torch.Size((dimensions.kv_heads, dimensions.window - 1, dimensions.head_dim))
        carries.extend((past, past))

    def __call__(self, x: Tensor, carry: Carry, rotary: tuple[Tensor, Tensor], visible: Tensor) -> Tensor:
        eps = self.dimensions.norm_eps
        attended = self._attend(rms_norm(x, self.norms[0], eps), carry, rotary, visible)
        x = x + self.scales[0] * F.linear(attended, self.output)
        gate, up = F.linear(rms_norm(x, self.norms[1], eps), self.gate_up).chunk(2, dim=-1)
        return x + self.scales[1] * F.linear(F.silu(gate) * up, self.down)

    def _attend(self, x: Tensor, carry: Carry, rotary: tuple[Tensor, Tensor], visible: Tensor) -> Tensor:
        dims = self.dimensions
        heads = F.linear(x, self.qkv).unflatten(-1, (-1, dims.head_dim)).transpose(1, 2)
        query, key, value = heads.split((dims.heads, dims.kv_heads, dims.kv_heads), dim=1)
        key = torch.cat((carry[self.slot], rotate(key, *rotary)), dim=2)
        value = torch.cat((carry[self.slot + 1], value), dim=2)
        past = dims.window - 1
        carry[self.slot], carry[self.slot + 1] = key[:, :, -past:], value[:, :, -past:]
        mixed = F.scaled_dot_product_attention(
            rotate(query, *rotary), key, value, attn_mask=visible, enable_gqa=dims.heads != dims.kv_heads
        )
        return mixed.transpose(1, 2).flatten(2)
