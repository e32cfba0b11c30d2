"""Codes to samples: what the engine asks of a codec, and its torch reference."""

from models.codec.codec import Codec, Primer
from models.codec.decoder import CodecDecoder
from models.codec.layers import clipped
from models.codec.slots import TorchCodec
from models.codec.transformer import CodecTransformer

__all__ = [
    "Codec",
    "CodecDecoder",
    "CodecTransformer",
    "Primer",
    "TorchCodec",
    "clipped",
]
