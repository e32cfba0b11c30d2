"""The floor under a frame's time: the bytes of weights it must read over the bandwidth of memory."""

from models.architecture import Dimensions, Precision, StackDimensions, head_precision

_BYTES_A_WEIGHT = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0 + 2 / 64, "nf4": 0.5 + 2 / 64}  # a scale for 64


def _layer_weights(stack: StackDimensions) -> int:
    mixed = stack.heads * stack.head_dim
    return stack.layers * stack.hidden * (stack.qkv_rows + mixed + 3 * stack.intermediate)


def talker_bytes(dimensions: Dimensions, precision: Precision) -> float:
    """Bytes of weights that one talker step reads, without its head."""
    return _layer_weights(dimensions.talker) * _BYTES_A_WEIGHT[precision]


def bytes_per_frame(dimensions: Dimensions, precision: Precision) -> float:
    """Bytes of weights read for one frame: talker once, code predictor once for each of its passes, heads included."""
    passes = dimensions.codec.code_groups - 1
    talker, predictor = dimensions.talker, dimensions.predictor
    layers = _layer_weights(talker) + passes * _layer_weights(predictor)
    heads = talker.hidden * talker.vocabulary + passes * predictor.hidden * predictor.vocabulary
    return layers * _BYTES_A_WEIGHT[precision] + heads * _BYTES_A_WEIGHT[head_precision(precision)]
