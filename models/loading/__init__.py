"""From a checkpoint to a `Model`: talker, code predictor and codec on the best backend there is."""

from models.loading.codec import load_codec
from models.loading.language_model import load_language_model
from models.loading.model import Model
from models.loading.options import LoadOptions

__all__ = [
    "LoadOptions",
    "Model",
    "load_codec",
    "load_language_model",
]
