"""What follows from a checkpoint's configuration alone: dimensions, token ids, tensor shapes, precisions, memory.

Everything here may be imported from anywhere: nothing of it needs torch or weights.
"""

from models.architecture.codec_steps import GELU, PLAIN, SNAKE, CodecPlan, Step, codec_plan
from models.architecture.config_section import ConfigSection, read_config
from models.architecture.encoding import (
    CodecEncoderDimensions,
    SpeakerEncoderDimensions,
    read_codec_encoder,
    read_speaker_encoder,
)
from models.architecture.memory import BASE_FILES, Dimensions, MemoryEstimate, Setting, estimate_memory, nearest_fit
from models.architecture.precision import PRECISIONS, Precision, head_precision, projection_precision
from models.architecture.speaking import (
    Architecture,
    CodecDecoderDimensions,
    StackDimensions,
    read_architecture,
    read_table,
    spoken_languages,
)
from models.architecture.tensors import (
    RESIDUAL_DILATIONS,
    Inventory,
    Shape,
    codec_decoder_tensors,
    codec_encoder_tensors,
    speaker_encoder_tensors,
    talker_tensors,
)

__all__ = [
    "BASE_FILES",
    "GELU",
    "PLAIN",
    "PRECISIONS",
    "RESIDUAL_DILATIONS",
    "SNAKE",
    "Architecture",
    "CodecDecoderDimensions",
    "CodecEncoderDimensions",
    "CodecPlan",
    "ConfigSection",
    "Dimensions",
    "Inventory",
    "MemoryEstimate",
    "Precision",
    "Setting",
    "Shape",
    "SpeakerEncoderDimensions",
    "StackDimensions",
    "Step",
    "codec_decoder_tensors",
    "codec_encoder_tensors",
    "codec_plan",
    "estimate_memory",
    "head_precision",
    "nearest_fit",
    "projection_precision",
    "read_architecture",
    "read_codec_encoder",
    "read_config",
    "read_speaker_encoder",
    "read_table",
    "speaker_encoder_tensors",
    "spoken_languages",
    "talker_tensors",
]
