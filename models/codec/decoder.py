"""The streaming codec decoder: codes to samples, each frame decoded once, state carried per slot."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import CodecDecoderDimensions
from models.codec.layers import Carry, CausalConvolution, CausalUpsampling, ConvNeXt, DecoderBlock, Snake
from models.codec.transformer import CodecTransformer

TensorSource = Callable[[str], Tensor]


class CodecDecoder:
    """Codes [sequences, frames, groups] -> samples. Knows no slots: the past comes in and goes out as a Carry."""

    def __init__(self, dimensions: CodecDecoderDimensions, source: TensorSource, dtype: torch.dtype) -> None:
        def weights(name: str) -> Tensor:
            tensor = source(name).to(dtype)
            self.weight_bytes += tensor.nbytes
            return tensor

        self.dimensions = dimensions
        self.dtype = dtype
        self.weight_bytes = 0
        self.carries: list[torch.Size] = []
        groups = dimensions.code_groups
        self._semantic = _Codebooks(source, "decoder.quantizer.rvq_first", 1)
        self._acoustic = _Codebooks(source, "decoder.quantizer.rvq_rest", groups - 1)
        self.weight_bytes += self._semantic.nbytes + self._acoustic.nbytes
        self._entry = CausalConvolution(weights, "decoder.pre_conv", self.carries)
        self._transformer = CodecTransformer(weights, dimensions, self.carries)
        self._upsampling = [
            (
                CausalUpsampling(weights, f"decoder.upsample.{i}.0", self.carries, ratio),
                ConvNeXt(weights, f"decoder.upsample.{i}.1", self.carries),
            )
            for i, ratio in enumerate(dimensions.upsampling_ratios)
        ]
        rates = dimensions.upsample_rates
        self._first = CausalConvolution(weights, "decoder.decoder.0", self.carries)
        self._blocks = [
            DecoderBlock(weights, f"decoder.decoder.{i}.block", self.carries, rate)
            for i, rate in enumerate(rates, start=1)
        ]
        self._snake = Snake(weights, f"decoder.decoder.{len(rates) + 1}")
        self._last = CausalConvolution(weights, f"decoder.decoder.{len(rates) + 2}", self.carries)

    def fresh(self, sequences: int) -> Carry:
        """The past of sequences that have none: zeros."""
        return [torch.zeros((sequences, *shape), dtype=self.dtype) for shape in self.carries]

    def decode(self, codes: Tensor, carry: Carry, done: Tensor) -> Tensor:
        """Samples float32 [sequences, frames * samples a frame], not yet clipped; `carry` is moved on in place.

        codes int64 [sequences, frames, groups]; done int64 [sequences]: frames decoded before these.
        """
        x = self._latents(codes, carry, done)
        return self._waveform(x, carry)

    def advance(self, codes: Tensor, carry: Carry, done: Tensor) -> None:
        """Move the transformer past `codes` without making samples."""
        self._latents(codes, carry, done)

    def _latents(self, codes: Tensor, carry: Carry, done: Tensor) -> Tensor:
        """Codes -> [sequences, latent, frames]."""
        quantised = self._semantic(codes[..., :1]) + self._acoustic(codes[..., 1:])
        x = self._entry(quantised.to(self.dtype).transpose(1, 2), carry)
        return self._transformer(x.transpose(1, 2), carry, done).transpose(1, 2)

    def _waveform(self, x: Tensor, carry: Carry) -> Tensor:
        for upsampling, block in self._upsampling:
            x = block(upsampling(x, carry), carry)
        x = self._first(x, carry)
        for block in self._blocks:
            x = block(x, carry)
        return self._last(self._snake(x), carry)[:, 0].float()


class _Codebooks:
    """Residual vector quantiser: the sum of one embedding a code, projected. float32."""

    EPSILON = 1e-5

    def __init__(self, source: TensorSource, name: str, groups: int) -> None:
        tables: list[Tensor] = []
        for group in range(groups):
            book = f"{name}.vq.layers.{group}._codebook"
            usage = source(f"{book}.cluster_usage").float().clamp(min=self.EPSILON)
            tables.append(source(f"{book}.embedding_sum").float() / usage[:, None])
        self.tables = tables  # groups of [codebook, dimension]
        self.projection = source(f"{name}.output_proj.weight").float()[..., 0]  # [codebook_dim, dimension]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.projection.nbytes + sum(table.nbytes for table in self.tables)

    def __call__(self, codes: Tensor) -> Tensor:
        """int64 [sequences, frames, groups] -> [sequences, frames, codebook_dim]."""
        total = self.tables[0][codes[..., 0]]
        for group, table in enumerate(self.tables[1:], start=1):
            total = total + table[codes[..., group]]
        return F.linear(total, self.projection)
