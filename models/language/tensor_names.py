"""Upstream's names of talker and code predictor tensors, and the joint products they become."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import Architecture
from models.storage import TensorSource

TALKER = "talker.model"
PREDICTOR = "talker.code_predictor.model"


@dataclass(frozen=True, slots=True)
class JointLinear:
    """One product of a layer: the rows of several tensors of the checkpoint below each other."""

    name: str
    parts: tuple[str, ...]

    def weight(self, source: TensorSource) -> Tensor:
        """[rows, inputs] in the checkpoint's precision; a view where there is one part only."""
        tensors = [source(f"{part}.weight") for part in self.parts]
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def layer_linears(prefix: str, layer: int) -> tuple[JointLinear, JointLinear, JointLinear, JointLinear]:
    """The four products of a layer: qkv, output, gate_up, down."""
    attention, mlp = f"{prefix}.layers.{layer}.self_attn", f"{prefix}.layers.{layer}.mlp"
    name = f"{prefix}.layers.{layer}"
    return (
        JointLinear(f"{name}.qkv", tuple(f"{attention}.{part}_proj" for part in "qkv")),
        JointLinear(f"{name}.output", (f"{attention}.o_proj",)),
        JointLinear(f"{name}.gate_up", (f"{mlp}.gate_proj", f"{mlp}.up_proj")),
        JointLinear(f"{name}.down", (f"{mlp}.down_proj",)),
    )


def quantised_linears(architecture: Architecture) -> Iterator[JointLinear]:
    """Every product of the layers of talker and predictor: what a precision below bf16 applies to."""
    for prefix, layers in ((TALKER, architecture.talker.layers), (PREDICTOR, architecture.predictor.layers)):
        for layer in range(layers):
            yield from layer_linears(prefix, layer)


def talker_head() -> JointLinear:
    """Hidden state -> logits of code 0."""
    return _single("talker.codec_head")


def predictor_heads(architecture: Architecture) -> list[JointLinear]:
    """Hidden state -> logits of codes 1.., one each."""
    return [_single(f"talker.code_predictor.lm_head.{group}") for group in range(architecture.code_groups - 1)]


def predictor_embeddings(architecture: Architecture, source: TensorSource) -> list[Tensor]:
    """Tables of codes 1..: groups - 1 of [codebook, talker hidden], as the checkpoint stores them."""
    return [source(f"{PREDICTOR}.codec_embedding.{group}.weight") for group in range(architecture.code_groups - 1)]


def text_projections() -> tuple[JointLinear, JointLinear]:
    """The two layers from the text embedding to the talker."""
    return _single("talker.text_projection.linear_fc1"), _single("talker.text_projection.linear_fc2")


def predictor_projection(architecture: Architecture) -> JointLinear | None:
    """Talker's hidden size -> predictor's, where the two differ."""
    if architecture.predictor.hidden == architecture.talker.hidden:
        return None
    return _single("talker.code_predictor.small_to_mtp_projection")


def _single(name: str) -> JointLinear:
    return JointLinear(name, (name,))
