"""Talker and code predictor as they are trained: all positions of a batch at once, gradients throughout.

The mathematics of models/language/decoder_stack.py, without caches; tests compare the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import Architecture, StackDimensions
from models.language import (
    PREDICTOR,
    TALKER,
    layer_linears,
    predictor_heads,
    predictor_projection,
    rotary_table,
    rotate,
    talker_head,
    text_projections,
)
from training.layout import Batch

_DEVIATION = 0.02  # of fresh weights


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), eps)


def attention(query: Tensor, key: Tensor, hidden: Tensor) -> Tensor:
    """How much each position looks at each: [batch, heads, positions, head_dim] -> [batch, heads, positions,
    positions], `hidden` [positions, positions] being minus infinity where a position must not look. As a product, and
    another with the values: on a CPU in bfloat16 several times as fast as the library's fused kernel."""
    scores = query @ (key * key.shape[-1] ** -0.5).transpose(2, 3)
    return (scores + hidden).softmax(dim=-1)


class Layer(nn.Module):
    """One layer of a stack."""

    def __init__(self, dims: StackDimensions) -> None:
        super().__init__()
        self.dims = dims
        mixed = dims.heads * dims.head_dim
        self.input_norm = nn.Parameter(torch.ones(dims.hidden))
        self.qkv = nn.Linear(dims.hidden, dims.qkv_rows, bias=False)
        self.query_norm = nn.Parameter(torch.ones(dims.head_dim))
        self.key_norm = nn.Parameter(torch.ones(dims.head_dim))
        self.output = nn.Linear(mixed, dims.hidden, bias=False)
        self.post_norm = nn.Parameter(torch.ones(dims.hidden))
        self.gate_up = nn.Linear(dims.hidden, 2 * dims.intermediate, bias=False)
        self.down = nn.Linear(dims.intermediate, dims.hidden, bias=False)

    def heads(self, x: Tensor, cosines: Tensor, sines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, one key and value a query: [batch, heads, positions, head_dim] each."""
        dims = self.dims
        batch, positions, _ = x.shape
        heads = self.qkv(_norm(x, self.input_norm, dims.norm_eps)).view(batch, positions, -1, dims.head_dim)
        query, key, value = heads.split((dims.heads, dims.kv_heads, dims.kv_heads), dim=2)
        query = rotate(_norm(query, self.query_norm, dims.norm_eps), cosines, sines).to(value.dtype)
        key = rotate(_norm(key, self.key_norm, dims.norm_eps), cosines, sines).to(value.dtype)
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        if dims.kv_heads != dims.heads:
            shared = dims.heads // dims.kv_heads
            key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
        return query, key, value

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor, hidden: Tensor) -> Tensor:
        """[batch, positions, hidden] -> the same."""
        dims = self.dims
        query, key, value = self.heads(x, cosines, sines)
        mixed = attention(query, key, hidden).to(value.dtype) @ value
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(_norm(x, self.post_norm, dims.norm_eps)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Stack(nn.Module):
    """A transformer stack over whole sequences."""

    angles: Tensor
    hidden: Tensor

    def __init__(self, dims: StackDimensions, longest: int) -> None:
        super().__init__()
        self.dims = dims
        self.layers = nn.ModuleList(Layer(dims) for _ in range(dims.layers))
        self.norm = nn.Parameter(torch.ones(dims.hidden))
        cosines, sines = rotary_table(torch.arange(longest), dims.head_dim, dims.rope_theta)
        # [2, positions, 1, head_dim], and [positions, positions]: minus infinity where a position must not look
        self.register_buffer("angles", torch.stack((cosines, sines))[:, :, None], persistent=False)
        self.register_buffer("hidden", torch.full((longest, longest), -torch.inf).triu(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, positions, hidden] -> the same, after the final norm."""
        count = x.shape[1]
        cosines, sines = (self.angles[:, :count]).to(x.dtype)
        hidden = self.hidden[:count, :count].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cosines, sines, hidden)
        return _norm(x, self.norm, self.dims.norm_eps)


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean cross-entropies in nats."""

    first: Tensor  # of code 0, end of speech included
    others: Tensor  # of codes 1.., over the frames the predictor was shown
    correct: Tensor  # share of codes 0 that are the most likely one


class Network(nn.Module):
    """Everything of `model.safetensors` but the speaker encoder."""

    def __init__(self, architecture: Architecture, longest: int) -> None:
        super().__init__()
        self.architecture = architecture
        talker, predictor, text = architecture.talker, architecture.predictor, architecture.text_hidden
        groups = architecture.code_groups
        self.talker = Stack(talker, longest)
        self.predictor = Stack(predictor, groups)
        self.codec_embedding = nn.Parameter(torch.empty(talker.vocabulary, talker.hidden))
        self.group_embeddings = nn.Parameter(torch.empty(groups - 1, predictor.vocabulary, talker.hidden))
        self.text_embedding = nn.Parameter(torch.empty(architecture.text_vocabulary, text))
        self.text_first = nn.Linear(text, text)
        self.text_second = nn.Linear(text, talker.hidden)
        self.head = nn.Linear(talker.hidden, talker.vocabulary, bias=False)
        self.group_heads = nn.Parameter(torch.empty(groups - 1, predictor.vocabulary, predictor.hidden))
        self.between = nn.Linear(talker.hidden, predictor.hidden) if predictor.hidden != talker.hidden else None
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                deviation = 0.5 if name == "text_embedding" else _DEVIATION
                if name.endswith(("output.weight", "down.weight")):
                    deviation /= (2 * self.architecture.talker.layers) ** 0.5
                nn.init.normal_(parameter, 0.0, deviation)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def text_rows(self) -> Tensor:
        """What each text token adds to the talker's input, and a row of zeros: [text vocabulary + 1, hidden]."""
        rows = self.text_second(F.silu(self.text_first(self.text_embedding)))
        return F.pad(rows, (0, 0, 0, 1))

    def code_rows(self) -> Tensor:
        """Code 0 and control tokens, codes 1.., zeros: [vocabulary + (groups - 1) * codebook + 1, hidden]."""
        return F.pad(torch.cat((self.codec_embedding, self.group_embeddings.flatten(0, 1))), (0, 0, 0, 1))

    def inputs(self, batch: Batch, speakers: Tensor) -> Tensor:
        """What the talker is fed: [batch, positions, hidden]. speakers [batch, hidden]."""
        x = F.embedding(batch.text, self.text_rows())
        flat = batch.codes.flatten(0, 1)
        x = x + F.embedding_bag(flat, self.code_rows().float(), mode="sum").view_as(x).to(x.dtype)
        return x + batch.speaker[..., None].to(x.dtype) * speakers[:, None].to(x.dtype)

    def forward(self, batch: Batch, speakers: Tensor) -> Losses:
        """Teacher-forced losses of a batch."""
        hidden = self.talker(self.inputs(batch, speakers)).flatten(0, 1)
        spoken = hidden[batch.spoken]
        logits = self.head(spoken).float()
        first = F.cross_entropy(logits, batch.targets)
        correct = (logits.argmax(dim=-1) == batch.targets).float().mean()
        return Losses(first, self.predict(hidden[batch.frames], batch.frame_codes), correct)

    def predictor_inputs(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Talker states [frames, hidden] and codes [frames, groups] -> [frames, groups, predictor hidden]."""
        offsets = torch.arange(codes.shape[1] - 2) * self.architecture.predictor.vocabulary
        rows = F.embedding(codes[:, 1:-1] + offsets, self.group_embeddings.flatten(0, 1))
        first = F.embedding(codes[:, 0], self.codec_embedding)
        x = torch.cat((hidden[:, None], first[:, None].to(hidden.dtype), rows.to(hidden.dtype)), dim=1)
        return x if self.between is None else self.between(x)

    def predictor_logits(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Teacher-forced logits of codes 1..: [groups - 1, frames, codebook]."""
        states = self.predictor(self.predictor_inputs(hidden, codes))[:, 1:].transpose(0, 1)
        return torch.bmm(states, self.group_heads.to(states.dtype).transpose(1, 2)).float()

    def predict(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Cross-entropy of codes 1.. of some frames."""
        logits = self.predictor_logits(hidden, codes)
        return F.cross_entropy(logits.flatten(0, 1), codes[:, 1:].T.flatten())

    def published(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor under its published name."""
        yield f"{TALKER}.codec_embedding.weight", self.codec_embedding
        yield f"{TALKER}.text_embedding.weight", self.text_embedding
        for joint, linear in zip(text_projections(), (self.text_first, self.text_second), strict=True):
            yield f"{joint.name}.weight", linear.weight
            yield f"{joint.name}.bias", linear.bias
        yield f"{talker_head().name}.weight", self.head.weight
        yield from _published_stack(TALKER, self.talker)
        yield from _published_stack(PREDICTOR, self.predictor)
        for group, head in enumerate(predictor_heads(self.architecture)):
            yield f"{PREDICTOR}.codec_embedding.{group}.weight", self.group_embeddings[group]
            yield f"{head.name}.weight", self.group_heads[group]
        projection = predictor_projection(self.architecture)
        if projection is not None and self.between is not None:
            yield f"{projection.name}.weight", self.between.weight
            yield f"{projection.name}.bias", self.between.bias


def _published_stack(prefix: str, stack: Stack) -> Iterator[tuple[str, Tensor]]:
    dims = stack.dims
    query, key = dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim
    yield f"{prefix}.norm.weight", stack.norm
    for number, layer in enumerate(stack.layers):
        assert isinstance(layer, Layer)
        name = f"{prefix}.layers.{number}"
        yield f"{name}.input_layernorm.weight", layer.input_norm
        yield f"{name}.post_attention_layernorm.weight", layer.post_norm
        yield f"{name}.self_attn.q_norm.weight", layer.query_norm
        yield f"{name}.self_attn.k_norm.weight", layer.key_norm
        products = (
            layer.qkv.weight.split((query, key, key)),
            (layer.output.weight,),
            layer.gate_up.weight.chunk(2),
            (layer.down.weight,),
        )
        for joint, parts in zip(layer_linears(prefix, number), products, strict=True):
            for part, weight in zip(joint.parts, parts, strict=True):
                yield f"{part}.weight", weight
