"""Random values for each tensor of a checkpoint, scaled by what the tensor does.

Every norm, scale and bias differs from its neutral value, so that a part that is left out shows. Speech is audible and
not clipped; greedy choices are not near ties; the end of speech comes after some seconds.
"""

import hashlib
import math
import re
from collections.abc import Callable

import torch

from models.architecture import Shape
from models.catalog import SPECIAL_CODES

_END_OF_SPEECH = 102  # place of the token that ends speech after the last code
_END_MARGIN = 2.15  # deviations that its logit must rise above its mean to beat every code: about 1 frame in 60
_LOGIT_SCALE = 4.0  # standard deviation of logits
_BLOCK = 1 << 22  # a large tensor repeats its first values from here on
_ROWS = 1 << 13  # and a table of more rows than this, which is the text embedding alone, its first rows

Maker = Callable[[str, Shape, torch.Generator], torch.Tensor]


def _normal(shape: Shape, generator: torch.Generator, mean: float, deviation: float) -> torch.Tensor:
    count = math.prod(shape)
    values = torch.empty(min(count, _BLOCK)).normal_(mean, deviation, generator=generator)
    if count > _BLOCK:
        values = values.repeat(-(-count // _BLOCK))[:count]
    return values.view(shape)


def _around(mean: float, deviation: float) -> Maker:
    """Normal values, cut off so that no scale changes its sign."""

    def make(_: str, shape: Shape, generator: torch.Generator) -> torch.Tensor:
        values = _normal(shape, generator, mean, deviation)
        return values.clamp_(mean - 3 * deviation, mean + 3 * deviation)

    return make


def _fan_in(name: str, shape: Shape) -> float:
    """Inputs that one output value sums over."""
    if re.fullmatch(r"decoder\.upsample\.\d+\.0\.conv\.weight", name):
        return shape[0]  # transposed, kernel = stride
    if re.fullmatch(r"decoder\.decoder\.\d+\.block\.1\.conv\.weight", name):
        return 2 * shape[0]  # transposed, kernel = 2 strides
    return math.prod(shape[1:])


def _linear(gain: float) -> Maker:
    """Unit variance in gives a variance of gain squared out."""

    def make(name: str, shape: Shape, generator: torch.Generator) -> torch.Tensor:
        return _normal(shape, generator, 0.0, gain / math.sqrt(_fan_in(name, shape)))

    return make


def _codec_head(name: str, shape: Shape, generator: torch.Generator) -> torch.Tensor:
    weight = _linear(_LOGIT_SCALE)(name, shape, generator)
    codes = shape[0] - SPECIAL_CODES
    highest = math.sqrt(2 * math.log(codes)) - 0.5  # about the largest of so many normal values
    weight[codes + _END_OF_SPEECH] *= highest / _END_MARGIN
    return weight


def _ones(_: str, shape: Shape, __: torch.Generator) -> torch.Tensor:
    return torch.ones(shape)


def _usage(_: str, shape: Shape, generator: torch.Generator) -> torch.Tensor:
    return torch.empty(shape).uniform_(0.5, 2.0, generator=generator)


# The first pattern found in a name decides.
_RULES: tuple[tuple[str, Maker], ...] = (
    (r"codebook\.initialized$", _ones),
    (r"cluster_usage$", _usage),
    (r"embed(ding)?_sum$", _around(0.0, 0.25)),
    (r"norm\.weight$", _around(1.0, 0.2)),
    (r"(layer_scale\.scale|\.gamma)$", _around(0.3, 0.08)),
    (r"\.alpha$", _around(-0.7, 0.2)),
    (r"\.beta$", _around(0.5, 0.2)),
    (r"^decoder\.decoder\.\d+\.conv\.bias$", _around(0.0, 0.003)),
    (r"\.bias$", _around(0.0, 0.05)),
    (r"talker\.model\.(text|codec)_embedding", _around(0.0, 1.0)),
    (r"code_predictor\.model\.codec_embedding", _around(0.0, 0.4)),
    (r"codec_head", _codec_head),
    (r"lm_head", _linear(_LOGIT_SCALE)),
    (r"(talker|code_predictor)\.model\.layers\.\d+\.(self_attn\.o_proj|mlp\.down_proj)", _linear(0.7)),
    # Snakes amplify; these gains keep a rounding error from growing on its way to the samples.
    (r"^decoder\.decoder\.\d+\.block\.1\.conv", _linear(0.5)),
    (r"^decoder\.decoder\.\d+\.block\.\d+\.conv1", _linear(0.6)),
    (r"^decoder\.decoder\.\d+\.block\.\d+\.conv2", _linear(0.3)),
    (r"", _linear(1.0)),
)


def random_tensor(name: str, shape: Shape, seed: int, dtype: torch.dtype) -> torch.Tensor:
    """Values for the tensor `name`, the same for the same name, shape and seed."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
    maker = next(maker for pattern, maker in _RULES if re.search(pattern, name))
    rows, *others = shape
    values = maker(name, (min(rows, _ROWS), *others), generator).to(dtype)
    return values if rows <= _ROWS else values.repeat(-(-rows // _ROWS), 1)[:rows]
