"""Talker and code predictor of a checkpoint at one precision, on the best backend there is."""

import logging
from dataclasses import dataclass

import torch

from models.architecture import Precision
from models.checkpoint import Checkpoint
from models.errors import InvalidRequestError
from models.language import (
    TALKER,
    CodePredictor,
    DecoderStack,
    JointLinear,
    KeyValueCache,
    Talker,
    TextProjection,
    talker_head,
    text_projections,
)
from models.loading.options import LoadOptions
from models.loading.torch_parts import LinearSource, torch_predictor, torch_stack
from models.quantization import Linear, make_linear

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """What turns text into codes."""

    talker: Talker
    predictor: CodePredictor
    backend: str
    instructions: str
    weight_bytes: int


def load_language_model(checkpoint: Checkpoint, precision: Precision, options: LoadOptions) -> LanguageModel:
    """Build talker and code predictor: native where the kernels were compiled and have the shapes, else torch.

    Raises InvalidRequestError when the native backend is asked for and cannot serve.
    """
    reason = _why_not_native(checkpoint, precision, options)
    if reason is None:
        return _native(checkpoint, precision, options)
    if options.backend == "native":
        raise InvalidRequestError("backend", reason)
    if options.backend == "auto":
        _log.warning("plain torch serves %s: %s", checkpoint.path, reason)
    return _torch(checkpoint, precision, options)


def _why_not_native(checkpoint: Checkpoint, precision: Precision, options: LoadOptions) -> str | None:
    from models import native
    from models.loading.native_weights import supports_native

    if options.backend == "torch":
        return "asked for"
    if (reason := native.why_unavailable()) is not None:
        return reason
    if not supports_native(checkpoint.architecture, precision):
        return "the native kernels have no code for these dimensions"
    return None


def _cache(checkpoint: Checkpoint, precision: Precision, options: LoadOptions) -> KeyValueCache:
    """Keys and values: float32 beside float32 weights, else bfloat16."""
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    return KeyValueCache(checkpoint.architecture.talker, options.slots, options.max_positions, dtype)


def _native(checkpoint: Checkpoint, precision: Precision, options: LoadOptions) -> LanguageModel:
    from models.loading.native_weights import NativeWeights
    from models.native import Kernels, NativeLinear

    kernels = Kernels(options.instructions, options.threads)
    weights = NativeWeights(checkpoint, precision)
    cache = _cache(checkpoint, precision, options)
    stack = weights.stack(TALKER, checkpoint.architecture.talker, cache, kernels)
    talker = _talker(
        checkpoint,
        stack,
        head=lambda joint: NativeLinear(weights.head(joint), kernels),
        projection=lambda joint: NativeLinear(weights.projection(joint), kernels),
    )
    predictor = weights.predictor(options.slots, kernels)
    return LanguageModel(talker, predictor, "native", kernels.instructions, weights.nbytes)


def _torch(checkpoint: Checkpoint, precision: Precision, options: LoadOptions) -> LanguageModel:
    architecture, source = checkpoint.architecture, checkpoint.model.tensor
    made: list[Linear] = []

    def linears(at: Precision) -> LinearSource:
        def make(joint: JointLinear) -> Linear:
            made.append(make_linear(joint.weight(source), at))
            return made[-1]

        return make

    kept = linears("fp32" if precision == "fp32" else "bf16")
    stack = torch_stack(TALKER, architecture.talker, _cache(checkpoint, precision, options), linears(precision), source)
    predictor = torch_predictor(architecture, source, options.slots, linears(precision), kept)
    talker = _talker(checkpoint, stack, kept, kept)
    capability = torch.backends.cpu.get_cpu_capability().lower()
    return LanguageModel(talker, predictor, "torch", capability, sum(linear.nbytes for linear in made))


def _talker(checkpoint: Checkpoint, stack: DecoderStack, head: LinearSource, projection: LinearSource) -> Talker:
    source = checkpoint.model.tensor
    first, second = text_projections()
    return Talker(
        stack,
        head(talker_head()),
        source(f"{TALKER}.codec_embedding.weight"),
        source(f"{TALKER}.text_embedding.weight"),
        TextProjection(
            projection(first),
            source(f"{first.name}.bias").float(),
            projection(second),
            source(f"{second.name}.bias").float(),
        ),
    )
