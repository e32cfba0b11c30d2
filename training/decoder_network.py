"""The codec decoder as a network to train, its parameters named and shaped as in the published format."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import CodecDecoderDimensions
from models.codec_layers import DecoderBlock
from models.codec_transformer import CodecTransformer
from models.tensor_inventory import codec_decoder_tensors
from training.fast_layers import convolve, snake, upsample
from training.initial import initial
from training.quantizer import Quantizer


class DecoderNetwork(nn.Module):
    """Codes [batch, frames, groups] -> samples [batch, frames * samples a frame], from an empty past."""

    def __init__(self, dimensions: CodecDecoderDimensions, quantizer: Quantizer, seed: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.precision = torch.bfloat16  # of the activations from the first upsampling on
        self.lean = False  # leave out snakes and residual units, which at the start do nothing
        generator = torch.Generator().manual_seed(seed)
        tensors = codec_decoder_tensors(dimensions)
        self._names = {name: name.replace(".", "/") for name in tensors if ".vq." not in name}
        self.weights = nn.ParameterDict(
            {key: nn.Parameter(initial(name, tensors[name], generator)) for name, key in self._names.items()}
        )
        self.tables = nn.ParameterList(nn.Parameter(table.clone()) for table in quantizer.tables)
        self._even_out()

    def _even_out(self) -> None:
        """Let the projections start as if all dimensions of the entries were equally large."""
        with torch.no_grad():
            for part, tables in (("first", self.tables[:1]), ("rest", self.tables[1:])):
                size = torch.stack([table.std(0) for table in tables]).square().sum(0).sqrt()
                self.weight(f"decoder.quantizer.rvq_{part}.output_proj.weight").div_(size[None, :, None])

    def weight(self, name: str) -> Tensor:
        """A parameter by its published name."""
        return self.weights[self._names[name]]

    def published(self) -> dict[str, Tensor]:
        """All tensors of the published format."""
        tensors = {name: self.weight(name).detach() for name in self._names}
        for group, table in enumerate(self.tables):
            part, layer = ("first", 0) if group == 0 else ("rest", group - 1)
            book = f"decoder.quantizer.rvq_{part}.vq.layers.{layer}._codebook"
            tensors |= {f"{book}.embedding_sum": table.detach(), f"{book}.cluster_usage": torch.ones(len(table))}
        return tensors

    def forward(self, codes: Tensor, context: int = 0) -> Tensor:
        """Samples of the frames after the first `context` ones, which only the transformer sees."""
        x = self.latents(codes)[:, context:].to(self.precision)
        for number, ratio in enumerate(self.dimensions.upsampling_ratios):
            x = self._upsampling(x, f"decoder.upsample.{number}", ratio)
        return self.waveform(self._convolve(x, "decoder.decoder.0.conv"))

    def waveform(self, x: Tensor) -> Tensor:
        """What comes after the first convolution [batch, steps, decoder] -> samples [batch, samples]."""
        rates = self.dimensions.upsample_rates
        for number, rate in enumerate(rates, start=1):
            x = self._block(x, f"decoder.decoder.{number}.block", rate)
        x = self._snake(x, f"decoder.decoder.{len(rates) + 1}").float()
        return self._convolve(x, f"decoder.decoder.{len(rates) + 2}.conv")[..., 0]

    def latents(self, codes: Tensor) -> Tensor:
        """Codes -> float32 [batch, frames, latent]."""
        chosen = [table[codes[..., group]] for group, table in enumerate(self.tables)]
        first = chosen[0] @ self.weight("decoder.quantizer.rvq_first.output_proj.weight")[..., 0].T
        rest = torch.stack(chosen[1:]).sum(0) @ self.weight("decoder.quantizer.rvq_rest.output_proj.weight")[..., 0].T
        x = self._convolve(first + rest, "decoder.pre_conv.conv")
        shapes: list[torch.Size] = []
        transformer = CodecTransformer(self.weight, self.dimensions, shapes)
        carry = [torch.zeros(len(x), *shape) for shape in shapes]
        return transformer(x, carry, torch.zeros(len(x), dtype=torch.int64))

    def _convolve(self, x: Tensor, name: str, dilation: int = 1, groups: int = 1) -> Tensor:
        return convolve(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), dilation, groups=groups)

    def _snake(self, x: Tensor, name: str) -> Tensor:
        return x if self.lean else snake(x, self.weight(f"{name}.alpha"), self.weight(f"{name}.beta"))

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weight(f"{name}.weight").to(x.dtype), self.weight(f"{name}.bias").to(x.dtype))

    def _upsampling(self, x: Tensor, name: str, ratio: int) -> Tensor:
        x = upsample(x, self.weight(f"{name}.0.conv.weight"), self.weight(f"{name}.0.conv.bias"), ratio)
        y = self._convolve(x, f"{name}.1.dwconv.conv", groups=x.shape[2]).float()
        y = F.layer_norm(
            y, (y.shape[2],), self.weight(f"{name}.1.norm.weight"), self.weight(f"{name}.1.norm.bias"), 1e-6
        ).to(x.dtype)
        y = self._linear(F.gelu(self._linear(y, f"{name}.1.pwconv1")), f"{name}.1.pwconv2")
        return x + y * self.weight(f"{name}.1.gamma").to(x.dtype)

    def _block(self, x: Tensor, name: str, rate: int) -> Tensor:
        x = self._snake(x, f"{name}.0")
        x = upsample(x, self.weight(f"{name}.1.conv.weight"), self.weight(f"{name}.1.conv.bias"), rate)
        for unit, dilation in enumerate(() if self.lean else DecoderBlock.DILATIONS, start=2):
            y = self._convolve(self._snake(x, f"{name}.{unit}.act1"), f"{name}.{unit}.conv1.conv", dilation)
            x = x + self._convolve(self._snake(y, f"{name}.{unit}.act2"), f"{name}.{unit}.conv2.conv")
        return x
