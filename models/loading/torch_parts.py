"""Talker and code predictor out of the torch reference's parts."""

from collections.abc import Callable

import torch

from models.architecture import Architecture, StackDimensions
from models.language import (
    PREDICTOR,
    JointLinear,
    KeyValueCache,
    LayerWeights,
    StackWeights,
    TorchCodePredictor,
    TorchStack,
    layer_linears,
    predictor_embeddings,
    predictor_heads,
    predictor_projection,
)
from models.quantization import Linear
from models.storage import TensorSource

LinearSource = Callable[[JointLinear], Linear]


def _stack_weights(prefix: str, layers: int, linear: LinearSource, source: TensorSource) -> StackWeights:
    def layer(number: int) -> LayerWeights:
        name = f"{prefix}.layers.{number}"
        qkv, output, gate_up, down = (linear(joint) for joint in layer_linears(prefix, number))
        return LayerWeights(
            input_norm=source(f"{name}.input_layernorm.weight").float(),
            qkv=qkv,
            query_norm=source(f"{name}.self_attn.q_norm.weight").float(),
            key_norm=source(f"{name}.self_attn.k_norm.weight").float(),
            output=output,
            post_norm=source(f"{name}.post_attention_layernorm.weight").float(),
            gate_up=gate_up,
            down=down,
        )

    return StackWeights([layer(number) for number in range(layers)], source(f"{prefix}.norm.weight").float())


def torch_stack(
    prefix: str, dimensions: StackDimensions, cache: KeyValueCache, linear: LinearSource, source: TensorSource
) -> TorchStack:
    """A stack of the checkpoint: `prefix` is TALKER or PREDICTOR."""
    return TorchStack(dimensions, _stack_weights(prefix, dimensions.layers, linear, source), cache)


def torch_predictor(
    architecture: Architecture, source: TensorSource, slots: int, linear: LinearSource, kept: LinearSource
) -> TorchCodePredictor:
    """The code predictor; `kept` makes the products that are not quantised."""
    dimensions = architecture.predictor
    cache = KeyValueCache(dimensions, slots, architecture.code_groups, torch.float32)
    projection = predictor_projection(architecture)
    return TorchCodePredictor(
        torch_stack(PREDICTOR, dimensions, cache, linear, source),
        predictor_embeddings(architecture, source),
        [kept(head) for head in predictor_heads(architecture)],
        projection and (kept(projection), source(f"{projection.name}.bias").float()),
    )
