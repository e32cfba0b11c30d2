"""Text to codes, in torch: prompt, talker, code predictor, and the transformer stack below them.

It is what the native kernels are compared with, and what serves where they were not compiled.
"""

from models.language.code_predictor import CodePredictor, TorchCodePredictor, sum_embeddings
from models.language.decoder_stack import DecoderStack, KeyValueCache, LayerWeights, StackWeights, TorchStack
from models.language.lazy_memory import give_back_heap
from models.language.prompt import Prompt, PromptBuilder
from models.language.sampling import CodeZeroRules, SamplingRows, sample
from models.language.talker import Talker, TextProjection
from models.language.tensor_names import (
    PREDICTOR,
    TALKER,
    JointLinear,
    layer_linears,
    predictor_embeddings,
    predictor_heads,
    predictor_projection,
    quantised_linears,
    talker_head,
    text_projections,
)
from models.language.transformer_parts import rms_norm, rotary_table, rotate

__all__ = [
    "PREDICTOR",
    "TALKER",
    "CodePredictor",
    "CodeZeroRules",
    "DecoderStack",
    "JointLinear",
    "KeyValueCache",
    "LayerWeights",
    "Prompt",
    "PromptBuilder",
    "SamplingRows",
    "StackWeights",
    "Talker",
    "TextProjection",
    "TorchCodePredictor",
    "TorchStack",
    "give_back_heap",
    "layer_linears",
    "predictor_embeddings",
    "predictor_heads",
    "predictor_projection",
    "quantised_linears",
    "rms_norm",
    "rotary_table",
    "rotate",
    "sample",
    "sum_embeddings",
    "talker_head",
    "text_projections",
]
