"""The structures of src/tables.h, src/descriptions.h, src/predictor.h and src/codec.h, field by field."""

import ctypes

from models.native.packing import PackedLinear

_POINTER = ctypes.c_void_p
_INT = ctypes.c_int32


class LinearStructure(ctypes.Structure):
    """struct Linear."""

    _fields_ = [("data", _POINTER), ("format", _INT), ("outputs", _INT), ("inputs", _INT)]

    @classmethod
    def of(cls, packed: PackedLinear) -> "LinearStructure":
        """Refers to the packed bytes: they must outlive the structure."""
        return cls(packed.data.data_ptr(), packed.format, packed.outputs, packed.inputs)


class LayerStructure(ctypes.Structure):
    """struct LayerDescription."""

    _fields_ = [
        ("qkv", LinearStructure),
        ("output", LinearStructure),
        ("gate_up", LinearStructure),
        ("down", LinearStructure),
        ("input_norm", _POINTER),
        ("query_norm", _POINTER),
        ("key_norm", _POINTER),
        ("post_norm", _POINTER),
    ]


class StackStructure(ctypes.Structure):
    """struct StackDescription."""

    _fields_ = [
        ("layer", ctypes.POINTER(LayerStructure)),
        ("norm", _POINTER),
        ("cosines", _POINTER),
        ("sines", _POINTER),
        ("keys", _POINTER),
        ("values", _POINTER),
        ("layers", _INT),
        ("hidden", _INT),
        ("intermediate", _INT),
        ("heads", _INT),
        ("kv_heads", _INT),
        ("head_dim", _INT),
        ("slots", _INT),
        ("positions", _INT),
        ("half_cache", _INT),
        ("longest", _INT),
        ("norm_eps", ctypes.c_float),
    ]


class PredictorStructure(ctypes.Structure):
    """struct PredictorDescription."""

    _fields_ = [
        ("heads", ctypes.POINTER(LinearStructure)),
        ("embeddings", ctypes.POINTER(_POINTER)),
        ("projection", ctypes.POINTER(LinearStructure)),
        ("projection_bias", _POINTER),
        ("groups", _INT),
        ("vocabulary", _INT),
        ("talker_hidden", _INT),
        ("half_embeddings", _INT),
    ]


class StepStructure(ctypes.Structure):
    """struct StepDescription."""

    _fields_ = [
        ("linear", LinearStructure),
        ("bias", _POINTER),
        ("frequency", _POINTER),
        ("scale", _POINTER),
        ("depthwise", _POINTER),
        ("norm", _POINTER),
        ("norm_bias", _POINTER),
        ("channels", _INT),
        ("taps", _INT),
        ("dilation", _INT),
        ("rate", _INT),
        ("activation", _INT),
        ("add", _INT),
        ("keep", _INT),
    ]


class CodecStructure(ctypes.Structure):
    """struct CodecDescription."""

    _fields_ = [
        ("codebooks", ctypes.POINTER(_POINTER)),
        ("steps", ctypes.POINTER(StepStructure)),
        ("groups", _INT),
        ("codebook_size", _INT),
        ("codebook_width", _INT),
        ("entry", _INT),
        ("middle", _INT),
        ("late", _INT),
        ("half_codebooks", _INT),
    ]


class CodecCallStructure(ctypes.Structure):
    """struct CodecCall."""

    _fields_ = [
        ("codes", _POINTER),
        ("slots", ctypes.POINTER(_INT)),
        ("done", ctypes.POINTER(_INT)),
        ("state", _POINTER),
        ("samples", _POINTER),
        ("count", _INT),
        ("frames", _INT),
    ]


class SamplingStructure(ctypes.Structure):
    """struct SamplingRow."""

    _fields_ = [("temperature", ctypes.c_float), ("top_p", ctypes.c_float), ("top_k", _INT)]


class PredictorCallStructure(ctypes.Structure):
    """struct PredictorCall."""

    _fields_ = [
        ("hidden", _POINTER),
        ("first", _POINTER),
        ("uniforms", _POINTER),
        ("sampling", ctypes.POINTER(SamplingStructure)),
        ("codes", _POINTER),
        ("total", _POINTER),
        ("failed", _POINTER),
        ("rows", _INT),
    ]


_ALL: dict[str, type[ctypes.Structure]] = {
    "Linear": LinearStructure,
    "LayerDescription": LayerStructure,
    "StackDescription": StackStructure,
    "PredictorDescription": PredictorStructure,
    "StepDescription": StepStructure,
    "CodecDescription": CodecStructure,
    "CodecCall": CodecCallStructure,
    "SamplingRow": SamplingStructure,
    "PredictorCall": PredictorCallStructure,
}


def structure_sizes() -> list[str]:
    """name=bytes of each structure, as the library's speech_abi lists them."""
    return [f"{name}={ctypes.sizeof(structure)}" for name, structure in _ALL.items()]
