"""The codec decoder as a list of steps, as the native kernels go through it. Needs no torch.

Every layer but the transformer becomes a causal convolution on rows of channels, written as one product; see
models/native/src/codec.h. A transposed convolution with stride s is a convolution whose outputs are s rows of channels
side by side.
"""

from dataclasses import dataclass

from models.architecture.speaking import CodecDecoderDimensions
from models.architecture.tensors import RESIDUAL_DILATIONS

PLAIN, SNAKE, GELU = 0, 1, 2  # Activation in src/tables.h


@dataclass(frozen=True, slots=True)
class Step:
    """Geometry of one step; see StepDescription in src/descriptions.h."""

    name: str  # of the layer in the checkpoint
    channels: int
    outputs: int  # of a row: rate times the next step's channels
    taps: int = 1
    dilation: int = 1
    rate: int = 1
    activation: int = PLAIN
    add: bool = False
    keep: bool = False
    depthwise: bool = False
    exact: bool = False  # float32 whatever the precision
    snake: str = ""  # name of the activation that follows

    @property
    def inputs(self) -> int:
        """Inputs of the product."""
        return self.taps * self.channels


@dataclass(frozen=True, slots=True)
class CodecPlan:
    """All steps: before the transformer, after it for all slots together, and slot by slot."""

    entry: tuple[Step, ...]
    middle: tuple[Step, ...]
    late: tuple[Step, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """In order."""
        return (*self.entry, *self.middle, *self.late)


def codec_plan(dims: CodecDecoderDimensions) -> CodecPlan:
    """The steps of a decoder of these dimensions."""
    entry = (
        Step("decoder.quantizer", dims.codebook_dim, dims.codebook_dim, exact=True),
        Step("decoder.pre_conv", dims.codebook_dim, dims.latent, taps=3),
        Step("decoder.pre_transformer.input_proj", dims.latent, dims.hidden, keep=True),
    )
    middle = [Step("decoder.pre_transformer.output_proj", dims.hidden, dims.latent)]
    for number, ratio in enumerate(dims.upsampling_ratios):
        middle += _upsampling(f"decoder.upsample.{number}", dims.latent, ratio)
    first = Step("decoder.decoder.0", dims.latent, dims.decoder, 7, activation=SNAKE, snake="decoder.decoder.1.block.0")
    blocks = [_block(number, dims) for number in range(1, len(dims.upsample_rates) + 1)]
    width = dims.decoder >> len(blocks)
    last = Step(f"decoder.decoder.{len(blocks) + 2}", width, 16, taps=7)  # one sample, and a panel's padding
    late = [step for block in blocks[1:] for step in block]
    return CodecPlan(entry, (*middle, first, *blocks[0]), (*late, last))


def _upsampling(name: str, channels: int, ratio: int) -> list[Step]:
    return [
        Step(f"{name}.0", channels, ratio * channels, rate=ratio, keep=True),
        Step(f"{name}.1.dwconv", channels, channels, taps=7, depthwise=True),
        Step(f"{name}.1.pwconv1", channels, 4 * channels, activation=GELU),
        Step(f"{name}.1.pwconv2", 4 * channels, channels, add=True),
    ]


def _block(number: int, dims: CodecDecoderDimensions) -> list[Step]:
    name, rate = f"decoder.decoder.{number}.block", dims.upsample_rates[number - 1]
    inputs, channels = dims.decoder >> (number - 1), dims.decoder >> number
    following = f"decoder.decoder.{number + 1}"
    after = following if number == len(dims.upsample_rates) else f"{following}.block.0"
    snakes = [*(f"{name}.{unit}.act1" for unit in (2, 3, 4)), after]
    steps = [Step(f"{name}.1", inputs, rate * channels, 2, rate=rate, activation=SNAKE, keep=True, snake=snakes[0])]
    for unit, dilation in enumerate(RESIDUAL_DILATIONS, start=2):
        layer = f"{name}.{unit}"
        steps += [
            Step(f"{layer}.conv1", channels, channels, 7, dilation, activation=SNAKE, snake=f"{layer}.act2"),
            Step(f"{layer}.conv2", channels, channels, activation=SNAKE, add=True, keep=True, snake=snakes[unit - 1]),
        ]
    return steps
