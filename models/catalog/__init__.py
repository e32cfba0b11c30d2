"""Which checkpoints there are, where they come from, and what can be known of them before one is opened.

Needs no torch, so that an ingress and a launcher can ask.
"""

from models.catalog.hub import cached_file, download
from models.catalog.shapes import SHAPES, SPECIAL_CODES, TINY, SyntheticShape
from models.catalog.shipped_voice import DESIGN_CONFIG, SHIPPED_VOICE, SPEAKING_KINDS, SpeakingKind, is_shipped
from models.catalog.speakers import speaker_tables
from models.catalog.spoken_names import SpokenNames, read_names

__all__ = [
    "DESIGN_CONFIG",
    "SHAPES",
    "SHIPPED_VOICE",
    "SPEAKING_KINDS",
    "SPECIAL_CODES",
    "TINY",
    "SpeakingKind",
    "SpokenNames",
    "SyntheticShape",
    "cached_file",
    "download",
    "is_shipped",
    "read_names",
    "speaker_tables",
]
