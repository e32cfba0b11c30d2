"""How loud random codec weights come out depends on chance. The last convolution's gain is turned until they are
audible: comparisons of audio are relative to its peak, and silence would make them mean nothing."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.architecture import CodecDecoderDimensions
from models.codec import CodecDecoder

_FRAMES = 25
_PEAK = 0.5


def audible(dimensions: CodecDecoderDimensions, source: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """The last convolution's tensors by name, scaled so that random codes peak at one half."""
    codes_shape = (1, _FRAMES, dimensions.code_groups)
    codes = torch.randint(0, dimensions.codebook_size, codes_shape, generator=torch.Generator().manual_seed(0))
    decoder = CodecDecoder(dimensions, source, torch.float32)
    with torch.inference_mode():
        peak = decoder.decode(codes, decoder.fresh(1), torch.zeros(1, dtype=torch.int64)).abs().max()
    last = f"decoder.decoder.{len(dimensions.upsample_rates) + 2}.conv"
    return {name: source(name) * (_PEAK / peak) for name in (f"{last}.weight", f"{last}.bias")}
