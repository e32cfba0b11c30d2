"""A checkpoint opened and checked, wherever it comes from; the embedded ones; and what is kept of all on the disk."""

from models.checkpoint.cache_contents import Entry, embedded_entries, packed_entries, trim
from models.checkpoint.checkpoint import Checkpoint, open_checkpoint
from models.checkpoint.embedded import lay_out_voice

__all__ = [
    "Checkpoint",
    "Entry",
    "embedded_entries",
    "lay_out_voice",
    "open_checkpoint",
    "packed_entries",
    "trim",
]
