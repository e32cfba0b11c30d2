"""The codec decoder as a network to train, its parameters named and shaped as in the published format.

Trained is what comes before samples: ten milliseconds a step, from which samples are read off linearly. The
upsampling blocks of the published architecture then only sort these samples into place (`published`), so that making a
waveform costs nothing while training.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import CodecDecoderDimensions, codec_decoder_tensors
from models.codec import CodecTransformer
from training.fast_layers import convolve, upsample
from training.initial import initial
from training.place import PLACES
from training.quantizer import Quantizer

_BLOCKS = "decoder.decoder."
_STRAIGHT = 12.0  # logarithm of what divides a snake's bend: samples pass it as they are
_SOFT = 1e-3  # deviation of the reading at the start


class DecoderNetwork(nn.Module):
    """Codes [batch, frames, groups] -> samples [batch, frames * samples a frame], from an empty past. Only the groups
    of the sound are looked at."""

    def __init__(self, dimensions: CodecDecoderDimensions, quantizer: Quantizer, seed: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        generator = torch.Generator().manual_seed(seed)
        tensors = codec_decoder_tensors(dimensions)
        self._blocks = {name: shape for name, shape in tensors.items() if name.startswith(_BLOCKS)}
        trained = (name for name in tensors if ".vq." not in name and name not in self._blocks)
        self._names = {name: name.replace(".", "/") for name in trained}
        self.weights = nn.ParameterDict(
            {key: nn.Parameter(initial(name, tensors[name], generator)) for name, key in self._names.items()}
        )
        self.tables = nn.ParameterList(nn.Parameter(table.clone()) for table in quantizer.tables)
        self.reading = nn.Linear(dimensions.latent, math.prod(dimensions.upsample_rates))  # samples of a step
        nn.init.normal_(self.reading.weight, 0.0, _SOFT)
        self._even_out()

    def _even_out(self) -> None:
        """Let the projections start as if all dimensions of the entries were equally large."""
        with torch.no_grad():
            for part, tables in (("first", self.tables[:1]), ("rest", self.tables[1:])):
                size = torch.stack([table.std(0) for table in tables]).square().sum(0).sqrt()
                size = torch.where(size > 0, size, 1.0)
                self.weight(f"decoder.quantizer.rvq_{part}.output_proj.weight").div_(size[None, :, None])

    def weight(self, name: str) -> Tensor:
        """A parameter by its published name."""
        return self.weights[self._names[name]]

    def published(self) -> dict[str, Tensor]:
        """All tensors of the published format: the first convolution reads all samples of a step off it, one a channel,
        and each block hands them on to the parts of the step that they belong to. Everything else in blocks is zero."""
        tensors = {name: self.weight(name).detach() for name in self._names}
        for name, shape in self._blocks.items():
            tensors[name] = torch.full(shape, _STRAIGHT if name.endswith("beta") else 0.0)
        silent = torch.zeros_like(self.tables[0])  # codes of places are not heard
        tables = [*(table.detach() for table in self.tables), *[silent] * PLACES]
        for group, table in enumerate(tables):
            part, layer = ("first", 0) if group == 0 else ("rest", group - 1)
            book = f"decoder.quantizer.rvq_{part}.vq.layers.{layer}._codebook"
            tensors |= {f"{book}.embedding_sum": table, f"{book}.cluster_usage": torch.ones(len(table))}
        rates, count = self.dimensions.upsample_rates, self.reading.out_features
        _read(tensors, f"{_BLOCKS}0.conv", self.reading.weight.detach(), self.reading.bias.detach())
        for number, ratio in enumerate(rates, start=1):
            kernel = tensors[f"{_BLOCKS}{number}.block.1.conv.weight"]  # [in, out, 2 * ratio]
            place = torch.arange(count)
            count //= ratio
            kernel[place, place % count, place // count] = 1
        _read(tensors, f"{_BLOCKS}{len(rates) + 2}.conv", torch.ones(1, 1), torch.zeros(1))
        return tensors

    def forward(self, codes: Tensor, context: int = 0) -> Tensor:
        """Samples of the frames after the first `context` ones, which only the transformer sees."""
        x = self.latents(codes)[:, context:]
        for number in range(len(self.dimensions.upsampling_ratios)):
            x = self._upsampling(x, f"decoder.upsample.{number}")
        return self.reading(x.float()).flatten(1)

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

    def _convolve(self, x: Tensor, name: str, groups: int = 1) -> Tensor:
        return convolve(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), groups)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weight(f"{name}.weight").to(x.dtype), self.weight(f"{name}.bias").to(x.dtype))

    def _upsampling(self, x: Tensor, name: str) -> Tensor:
        x = upsample(x, self.weight(f"{name}.0.conv.weight"), self.weight(f"{name}.0.conv.bias"))
        y = self._convolve(x, f"{name}.1.dwconv.conv", groups=x.shape[2]).float()
        y = F.layer_norm(
            y, (y.shape[2],), self.weight(f"{name}.1.norm.weight"), self.weight(f"{name}.1.norm.bias"), 1e-6
        ).to(x.dtype)
        y = self._linear(F.gelu(self._linear(y, f"{name}.1.pwconv1")), f"{name}.1.pwconv2")
        return x + y * self.weight(f"{name}.1.gamma").to(x.dtype)


def _read(tensors: dict[str, Tensor], name: str, weight: Tensor, bias: Tensor) -> None:
    """Let the first rows of a causal convolution be a product [out, in] with the present alone."""
    tensors[f"{name}.weight"][: len(weight), : weight.shape[1], -1] = weight
    tensors[f"{name}.bias"][: len(bias)] = bias
