"""Weights in the order in which the kernels read them.

A matrix [outputs, inputs] becomes panels of 16 outputs. Inside a panel:

- fp32: for each input the 16 outputs' weights.
- bf16: for each pair of inputs, output by output, the two weights.
- int8: for each block of 64 inputs 1,024 bytes. Byte 64 s + 4 r + b is input 4 s + b of output r, plus 128: the
  processor multiplies unsigned by signed bytes.
- nf4: for each block of 64 inputs 512 bytes. Byte 64 s + 4 r + b holds the codes of inputs 8 s + b (low nibble) and
  8 s + 4 + b (high nibble) of output r. The kernels turn a code into a whole number, NF4's value times 123.26 rounded;
  the scales here are bitsandbytes' divided by that.

int8 and nf4 panels lie in pairs (a last odd one alone), so that a product reads one stream: for each block of 64 inputs
the one panel's block, the other's, then 16 bfloat16 scales of the one and of the other. bfloat16 moves a block by at
most 0.4 %, where nf4 itself moves a weight by 9 %; quantize_int8's scales are bfloat16 to begin with.

The same bytes serve every instruction set, so a cache of them can move between machines.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import PRECISIONS, Precision

LAYOUT_VERSION = 3  # the library says the same, speech_layout_version in src/interface.cpp
PANEL = 16
BLOCK = 64
NF4_FACTOR = 123.26


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """A matrix [outputs, inputs] as the kernels read it. `data` may be memory-mapped; it is never copied."""

    data: Tensor  # uint8 [bytes]
    precision: Precision
    outputs: int
    inputs: int

    def __post_init__(self) -> None:
        expected = packed_bytes(self.precision, self.outputs, self.inputs)
        if self.data.dtype != torch.uint8 or not self.data.is_contiguous() or self.data.numel() != expected:
            raise ValueError(
                f"a packed {self.precision} matrix [{self.outputs}, {self.inputs}] is {expected} contiguous bytes, "
                f"not {self.data.dtype} {tuple(self.data.shape)}"
            )

    @property
    def nbytes(self) -> int:
        """Bytes a product reads."""
        return self.data.numel()

    @property
    def format(self) -> int:
        """The precision's number: that of Format in src/tables.h, which stands in the same order."""
        return PRECISIONS.index(self.precision)


def fits(precision: Precision, outputs: int, inputs: int) -> bool:
    """Whether the kernels can multiply by a matrix [outputs, inputs] of this precision."""
    step = BLOCK if precision in ("int8", "nf4") else PANEL
    return outputs > 0 and inputs > 0 and outputs % PANEL == 0 and inputs % step == 0


def packed_bytes(precision: Precision, outputs: int, inputs: int) -> int:
    """Size of a packed matrix. Raises ValueError for one that does not fit."""
    if not fits(precision, outputs, inputs):
        raise ValueError(f"no {precision} kernel for a matrix [{outputs}, {inputs}]")
    weights = outputs * inputs
    scales = weights // BLOCK * 2
    return {"fp32": 4 * weights, "bf16": 2 * weights, "int8": weights + scales, "nf4": weights // 2 + scales}[precision]


def pack_fp32(weight: Tensor, gated: bool = False) -> PackedLinear:
    """float32 [outputs, inputs]. `gated`: the first half of the outputs are a gate, see `_panels`."""
    outputs, inputs = weight.shape
    ordered = _panels(weight.float(), gated).transpose(1, 2)  # [panels, inputs, 16]
    return PackedLinear(_bytes(ordered), "fp32", outputs, inputs)


def pack_bf16(weight: Tensor, gated: bool = False) -> PackedLinear:
    """bfloat16 [outputs, inputs]; other types are rounded to it."""
    outputs, inputs = weight.shape
    pairs = _panels(weight.to(torch.bfloat16), gated).view(-1, PANEL, inputs // 2, 2)
    return PackedLinear(_bytes(pairs.transpose(1, 2)), "bf16", outputs, inputs)


def pack_int8(codes: Tensor, scales: Tensor, gated: bool = False) -> PackedLinear:
    """codes int8 [outputs, inputs] of -127..127 and float32 scales [outputs, inputs / 64]: weight = code * scale."""
    outputs, inputs = codes.shape
    shifted = _panels(codes, gated).view(torch.uint8) ^ 0x80
    fours = shifted.view(-1, PANEL, inputs // BLOCK, BLOCK // 4, 4).permute(0, 2, 3, 1, 4)
    return PackedLinear(_with_scales(fours, scales, gated), "int8", outputs, inputs)


def pack_nf4(codes: Tensor, scales: Tensor, outputs: int, inputs: int, gated: bool = False) -> PackedLinear:
    """bitsandbytes' NF4: codes uint8 [outputs * inputs / 2] row by row, the earlier weight in the high nibble, and
    float32 scales [outputs * inputs / 64] (after double dequantisation): weight = NF4 value of the code * scale."""
    rows = _panels(codes.reshape(outputs, inputs // 2), gated)
    nibbles = torch.stack((rows >> 4, rows & 15), dim=-1)  # [panels, 16, inputs / 2, 2]
    eights = nibbles.view(-1, PANEL, inputs // BLOCK, BLOCK // 8, 2, 4)
    pairs = eights[..., 0, :] | (eights[..., 1, :] << 4)  # [panels, 16, blocks, 8, 4]
    scales = scales.reshape(outputs, inputs // BLOCK) / NF4_FACTOR
    return PackedLinear(_with_scales(pairs.permute(0, 2, 3, 1, 4), scales, gated), "nf4", outputs, inputs)


def _panels(rows: Tensor, gated: bool) -> Tensor:
    """[outputs, ...] -> [panels, 16, ...]. Panels of a gate alternate with those of what it gates, so that one thread
    has both and can finish their product."""
    panels = rows.unflatten(0, (-1, PANEL))
    return torch.stack(panels.chunk(2), dim=1).flatten(0, 1) if gated else panels


def _with_scales(blocks: Tensor, scales: Tensor, gated: bool) -> Tensor:
    """blocks uint8 [panels, blocks, ...] and scales [outputs, blocks] -> bytes [...]: each two panels' blocks of the
    same inputs, and their scales."""
    ordered = _panels(scales.to(torch.bfloat16), gated).transpose(1, 2).contiguous().view(torch.uint8)
    blocks, even = blocks.flatten(2), len(blocks) // 2 * 2
    return torch.cat([_pairs(blocks[part], ordered[part]) for part in (slice(even), slice(even, None))])


def _pairs(blocks: Tensor, scales: Tensor) -> Tensor:
    """Two panels, or a last one [panels, blocks, bytes], block by block and their scales after them."""
    together = 1 if len(blocks) == 1 else 2
    parts = [part.unflatten(0, (-1, together)).transpose(1, 2).flatten(2) for part in (blocks, scales)]
    return torch.cat(parts, dim=2).flatten()


def _bytes(ordered: Tensor) -> Tensor:
    return ordered.contiguous().view(torch.uint8).flatten()
