"""Talker and code predictor out of native kernels, their weights memory-mapped from the packed cache."""

from collections.abc import Iterator

import torch
from torch import Tensor

from models.architecture import Architecture, Precision, StackDimensions, head_precision, projection_precision
from models.checkpoint import Checkpoint
from models.language import (
    PREDICTOR,
    TALKER,
    JointLinear,
    KeyValueCache,
    layer_linears,
    predictor_embeddings,
    predictor_heads,
    predictor_projection,
    quantised_linears,
    talker_head,
    text_projections,
)
from models.native import (
    LAYOUT_VERSION,
    Kernels,
    NativeCodePredictor,
    NativeStack,
    PackedLayer,
    PackedLinear,
    fits,
    pack_bf16,
    pack_fp32,
    pack_int8,
    pack_nf4,
    supports,
)
from models.quantization import quantize_int8, quantize_nf4
from models.storage import open_packed

_GATED = ".gate_up"  # the end of the names of products whose halves are a gate and what it lets through


def supports_native(architecture: Architecture, precision: Precision) -> bool:
    """Whether there are kernels for every shape of this architecture."""
    talker, predictor, text = architecture.talker, architecture.predictor, architecture.text_hidden
    head, projection = head_precision(precision), projection_precision(precision)
    return (
        supports(talker, precision)
        and supports(predictor, precision)
        and fits(head, talker.vocabulary, talker.hidden)
        and fits(head, predictor.vocabulary, predictor.hidden)
        and fits(projection, text, text)
        and fits(projection, talker.hidden, text)
        and fits(projection, predictor.hidden, talker.hidden)
    )


def _pack(weight: Tensor, precision: Precision, gated: bool = False) -> Tensor:
    """A matrix [outputs, inputs] as bytes in the kernels' order."""
    match precision:
        case "fp32":
            return pack_fp32(weight, gated).data
        case "bf16":
            return pack_bf16(weight, gated).data
        case "int8":
            eight = quantize_int8(weight)
            return pack_int8(eight.codes, eight.scales, gated).data
        case "nf4":
            four = quantize_nf4(weight)
            return pack_nf4(four.codes, four.scales, weight.shape[0], weight.shape[1], gated).data


class NativeWeights:
    """All products of one checkpoint at one precision, mapped from the packed cache; packed first where they are not
    there yet, one after the other, so that memory never holds more than one."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision) -> None:
        self._architecture = checkpoint.architecture
        self._model = checkpoint.model
        self._precision: Precision = precision
        layout = f"{LAYOUT_VERSION}-{head_precision(precision)}-{projection_precision(precision)}"
        self._packed = open_packed(checkpoint.fingerprint, f"native-{precision}", layout, self._pack_all)

    def _pack_all(self) -> Iterator[tuple[str, Tensor]]:
        for joint, precision in self._products():
            yield joint.name, _pack(joint.weight(self._model.tensor), precision, joint.name.endswith(_GATED))
            self._model.release()  # else the whole checkpoint would stay resident beside what it becomes

    def _products(self) -> Iterator[tuple[JointLinear, Precision]]:
        head, projection = head_precision(self._precision), projection_precision(self._precision)
        for joint in quantised_linears(self._architecture):
            yield joint, self._precision
        for joint in (talker_head(), *predictor_heads(self._architecture)):
            yield joint, head
        for joint in text_projections():
            yield joint, projection
        if (between := predictor_projection(self._architecture)) is not None:
            yield between, projection

    @property
    def nbytes(self) -> int:
        """Bytes mapped: packed products, and the tables of codes where the checkpoint has them."""
        tables = [self._model.tensor(f"{TALKER}.codec_embedding.weight")]
        tables += predictor_embeddings(self._architecture, self._model.tensor)
        return sum(tensor.nbytes for tensor in (*self._packed.values(), *tables))

    def head(self, joint: JointLinear) -> PackedLinear:
        """An output head."""
        return self._linear(joint, head_precision(self._precision))

    def projection(self, joint: JointLinear) -> PackedLinear:
        """A projection into a stack."""
        return self._linear(joint, projection_precision(self._precision))

    def _linear(self, joint: JointLinear, precision: Precision) -> PackedLinear:
        shapes = [self._model.shape(f"{part}.weight") for part in joint.parts]
        return PackedLinear(self._packed[joint.name], precision, sum(shape[0] for shape in shapes), shapes[0][1])

    def stack(self, prefix: str, dimensions: StackDimensions, cache: KeyValueCache, kernels: Kernels) -> NativeStack:
        """A stack of the checkpoint: `prefix` is TALKER or PREDICTOR."""
        layers = [self._layer(f"{prefix}.layers.{number}", prefix, number) for number in range(dimensions.layers)]
        return NativeStack(dimensions, layers, self._norm(f"{prefix}.norm"), cache, kernels)

    def _norm(self, name: str) -> Tensor:
        return self._model.tensor(f"{name}.weight").float()

    def _layer(self, name: str, prefix: str, number: int) -> PackedLayer:
        qkv, output, gate_up, down = (self._linear(joint, self._precision) for joint in layer_linears(prefix, number))
        return PackedLayer(
            input_norm=self._norm(f"{name}.input_layernorm"),
            qkv=qkv,
            query_norm=self._norm(f"{name}.self_attn.q_norm"),
            key_norm=self._norm(f"{name}.self_attn.k_norm"),
            output=output,
            post_norm=self._norm(f"{name}.post_attention_layernorm"),
            gate_up=gate_up,
            down=down,
        )

    def predictor(self, slots: int, kernels: Kernels) -> NativeCodePredictor:
        """The code predictor."""
        architecture, source = self._architecture, self._model.tensor
        cache = KeyValueCache(architecture.predictor, slots, architecture.code_groups, torch.float32)
        projection = predictor_projection(architecture)
        return NativeCodePredictor(
            self.stack(PREDICTOR, architecture.predictor, cache, kernels),
            predictor_embeddings(architecture, source),
            [self.head(head) for head in predictor_heads(architecture)],
            projection and (self.projection(projection), source(f"{projection.name}.bias").float()),
        )
