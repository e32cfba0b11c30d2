"""The codec decoder's weights in the order in which the kernels read them, tensor by tensor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import CodecDecoderDimensions, Precision, StackDimensions, Step, codec_plan
from models.native.codec_weights import codebooks, dense_weights, snake
from models.native.packing import PackedLinear, fits, pack_bf16, pack_fp32
from models.native.stack import PackedLayer, supports
from models.storage import TensorSource

_TRANSFORMER = "decoder.pre_transformer"


def codec_stack_dimensions(dims: CodecDecoderDimensions) -> StackDimensions:
    """The codec's transformer as a stack."""
    return StackDimensions(
        layers=dims.layers,
        hidden=dims.hidden,
        intermediate=dims.intermediate,
        heads=dims.heads,
        kv_heads=dims.kv_heads,
        head_dim=dims.head_dim,
        norm_eps=dims.norm_eps,
        rope_theta=dims.rope_theta,
        vocabulary=dims.codebook_size,
    )


def supports_codec(dims: CodecDecoderDimensions, precision: Precision) -> bool:
    """Whether the kernels can run a codec decoder of these dimensions; precisions are fp32 and bf16."""
    steps = codec_plan(dims).steps
    return (
        precision in ("fp32", "bf16")
        and dims.codebook_dim % 32 == 0
        and supports(codec_stack_dimensions(dims), precision)
        and all(fits(precision, step.outputs, step.channels) for step in steps)
    )


def pack_codec(
    dims: CodecDecoderDimensions, source: TensorSource, precision: Precision
) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) for everything NativeCodec needs, one at a time; `source` gives the checkpoint's tensors."""
    for step in codec_plan(dims).steps:
        yield from _pack_step(step, source, precision)
    for group, table in enumerate(codebooks(dims.code_groups, source)):
        yield f"codebook.{group}", table.to(torch.float32 if precision == "fp32" else torch.bfloat16).contiguous()
    for layer in range(dims.layers):
        yield from _pack_layer(f"{_TRANSFORMER}.layers.{layer}", source, precision)
    yield f"{_TRANSFORMER}.norm", source(f"{_TRANSFORMER}.norm.weight").float()


def _pack_step(step: Step, source: TensorSource, precision: Precision) -> Iterator[tuple[str, Tensor]]:
    if step.depthwise:
        norm = step.name.replace("dwconv", "norm")
        yield f"{step.name}.weight", source(f"{step.name}.conv.weight").float()[:, 0].T.contiguous()  # [taps, channels]
        yield f"{step.name}.bias", source(f"{step.name}.conv.bias").float()
        yield f"{step.name}.norm", source(f"{norm}.weight").float()
        yield f"{step.name}.norm_bias", source(f"{norm}.bias").float()
        return
    weight, bias = dense_weights(step, source)
    yield f"{step.name}.weight", _pack(weight, "fp32" if step.exact else precision).data
    if bias is not None:
        yield f"{step.name}.bias", bias.contiguous()
    if step.snake:
        frequency, scale = snake(step, source)
        yield f"{step.name}.frequency", frequency
        yield f"{step.name}.scale", scale


def _pack_layer(name: str, source: TensorSource, precision: Precision) -> Iterator[tuple[str, Tensor]]:
    """Layer scales are multiplied into the products they follow."""

    def joint(*parts: str) -> Tensor:
        return torch.cat([source(f"{name}.{part}_proj.weight").float() for part in parts])

    attention_scale, mlp_scale = (source(f"{name}.{part}_layer_scale.scale").float() for part in ("self_attn", "mlp"))
    output = joint("self_attn.o") * attention_scale[:, None]
    down = joint("mlp.down") * mlp_scale[:, None]
    yield f"{name}.qkv", _pack(joint("self_attn.q", "self_attn.k", "self_attn.v"), precision).data
    yield f"{name}.output", _pack(output, precision).data
    yield f"{name}.gate_up", _pack(joint("mlp.gate", "mlp.up"), precision, gated=True).data
    yield f"{name}.down", _pack(down, precision).data
    yield f"{name}.input_norm", source(f"{name}.input_layernorm.weight").float()
    yield f"{name}.post_norm", source(f"{name}.post_attention_layernorm.weight").float()


def _pack(weight: Tensor, precision: Precision, gated: bool = False) -> PackedLinear:
    return pack_fp32(weight, gated) if precision == "fp32" else pack_bf16(weight, gated)


@dataclass(frozen=True, slots=True)
class PackedCodec:
    """What `pack_codec` gave, in memory or mapped from a file."""

    dimensions: CodecDecoderDimensions
    precision: Precision
    tensors: Mapping[str, Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def linear(self, step: Step) -> PackedLinear:
        """A step's product."""
        precision: Precision = "fp32" if step.exact else self.precision
        return PackedLinear(self.tensors[f"{step.name}.weight"], precision, step.outputs, step.inputs)

    def layers(self) -> list[PackedLayer]:
        """The transformer's layers."""
        return [self._layer(f"{_TRANSFORMER}.layers.{number}") for number in range(self.dimensions.layers)]

    @property
    def norm(self) -> Tensor:
        """The transformer's last norm."""
        return self.tensors[f"{_TRANSFORMER}.norm"]

    def _layer(self, name: str) -> PackedLayer:
        dims = codec_stack_dimensions(self.dimensions)
        mixed = dims.heads * dims.head_dim

        def linear(part: str, outputs: int, inputs: int) -> PackedLinear:
            return PackedLinear(self.tensors[f"{name}.{part}"], self.precision, outputs, inputs)

        return PackedLayer(
            input_norm=self.tensors[f"{name}.input_norm"],
            qkv=linear("qkv", dims.qkv_rows, dims.hidden),
            query_norm=None,
            key_norm=None,
            output=linear("output", dims.hidden, mixed),
            post_norm=self.tensors[f"{name}.post_norm"],
            gate_up=linear("gate_up", 2 * dims.intermediate, dims.hidden),
            down=linear("down", dims.hidden, dims.intermediate),
        )
