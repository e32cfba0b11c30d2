"""The codec encoder as a network to train, its parameters named and shaped as in the published format."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoder_architecture import CodecEncoderDimensions
from models.tensor_inventory import codec_encoder_tensors
from models.transformer_parts import rotary_table, rotate
from training.fast_layers import convolve
from training.initial import initial
from training.quantizer import Quantizer

_LOUDER = 10.0  # the first layer at the start: as soft as samples are, activations would all be linear
_DOWNSAMPLING = 2  # of the last convolution, before the quantiser


class EncoderNetwork(nn.Module):
    """Samples [batch, frames * samples a frame] -> what is quantised [2, batch, frames, width]: semantic, acoustic."""

    def __init__(self, dimensions: CodecEncoderDimensions, quantizer: Quantizer, seed: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.precision = torch.bfloat16  # of the convolutions
        generator = torch.Generator().manual_seed(seed)
        tensors = codec_encoder_tensors(dimensions)
        self._names = {name: name.replace(".", "/") for name in tensors if ".codebook." not in name}
        self.weights = nn.ParameterDict(
            {key: nn.Parameter(initial(name, tensors[name], generator)) for name, key in self._names.items()}
        )
        self._tables = quantizer.tables
        with torch.no_grad():
            self.weight("encoder.encoder.layers.0.conv.weight").mul_(_LOUDER)

    def weight(self, name: str) -> Tensor:
        """A parameter by its published name."""
        return self.weights[self._names[name]]

    def published(self) -> dict[str, Tensor]:
        """All tensors of the published format."""
        tensors = {name: self.weight(name).detach() for name in self._names}
        for group, table in enumerate(self._tables):
            part, layer = ("semantic", 0) if group == 0 else ("acoustic", group - 1)
            book = f"encoder.quantizer.{part}_residual_vector_quantizer.layers.{layer}.codebook"
            usage = torch.ones(len(table))
            tensors |= {f"{book}.embed_sum": table, f"{book}.cluster_usage": usage, f"{book}.initialized": usage[:1]}
        return tensors

    def forward(self, samples: Tensor) -> Tensor:
        """See the class."""
        x = self._transform(self._convolutions(samples[..., None].to(self.precision)).float())
        weight = self.weight("encoder.downsample.conv.weight")
        before = weight.shape[2] - _DOWNSAMPLING
        x = torch.cat((x[:, :1].expand(-1, before, -1), x), dim=1)
        x = F.conv1d(x.transpose(1, 2), weight, stride=_DOWNSAMPLING).transpose(1, 2)
        parts = ("semantic", "acoustic")
        projections = [
            self.weight(f"encoder.quantizer.{part}_residual_vector_quantizer.input_proj.weight") for part in parts
        ]
        return torch.stack([x @ projection[..., 0].T for projection in projections])

    def _convolve(self, x: Tensor, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
        prefix = f"encoder.encoder.{name}.conv"
        return convolve(x, self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias"), dilation, stride)

    def _convolutions(self, x: Tensor) -> Tensor:
        """[batch, samples, 1] -> [batch, steps, hidden]."""
        dimensions = self.dimensions
        x = self._convolve(x, "layers.0")
        layer = 1  # activations count as layers too
        for ratio in reversed(dimensions.ratios):
            for depth in range(dimensions.residual_layers):
                name = f"layers.{layer}.block"
                y = self._convolve(F.elu(x), f"{name}.1", dilation=dimensions.dilation_growth**depth)
                x = x + self._convolve(F.elu(y), f"{name}.3")
                layer += 1
            x = self._convolve(F.elu(x), f"layers.{layer + 1}", stride=ratio)
            layer += 2
        return self._convolve(F.elu(x), f"layers.{layer + 1}")

    def _transform(self, x: Tensor) -> Tensor:
        """[batch, steps, hidden] -> the same."""
        dimensions = self.dimensions
        cosines, sines = rotary_table(torch.arange(x.shape[1]), dimensions.head_dim, dimensions.rope_theta)
        for layer in range(dimensions.layers):
            name = f"encoder.encoder_transformer.layers.{layer}"
            attended = self._attend(self._norm(x, f"{name}.input_layernorm"), f"{name}.self_attn", cosines, sines)
            x = x + self.weight(f"{name}.self_attn_layer_scale.scale") * attended
            y = self._norm(x, f"{name}.post_attention_layernorm") @ self.weight(f"{name}.mlp.fc1.weight").T
            y = F.gelu(y) @ self.weight(f"{name}.mlp.fc2.weight").T
            x = x + self.weight(f"{name}.mlp_layer_scale.scale") * y
        return x

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return F.layer_norm(x, weight.shape, weight, bias, self.dimensions.norm_eps)

    def _attend(self, x: Tensor, name: str, cosines: Tensor, sines: Tensor) -> Tensor:
        parts = [self.weight(f"{name}.{part}_proj.weight") for part in "qkv"]
        heads = (x @ torch.cat(parts).T).unflatten(2, (3, -1, self.dimensions.head_dim)).permute(2, 0, 3, 1, 4)
        query, key = rotate(heads[0], cosines, sines), rotate(heads[1], cosines, sines)
        mixed = F.scaled_dot_product_attention(query, key, heads[2], is_causal=True)
        return mixed.transpose(1, 2).flatten(2) @ self.weight(f"{name}.o_proj.weight").T
