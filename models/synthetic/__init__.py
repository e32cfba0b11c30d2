"""Checkpoints with random weights, of any size, in the published on-disk format: for tests, for a first start without
a download, and for measuring, because cost does not depend on the values.

`python -m models.synthetic` writes one.
"""

from models.synthetic.vocabulary import (
    SPECIAL_TOKENS,
    Pair,
    Vocabulary,
    Word,
    assemble_vocabulary,
    learnt_merges,
    merge,
    spelled,
)
from models.synthetic.writing import write_checkpoint, write_configuration, write_text_tokenizer

__all__ = [
    "SPECIAL_TOKENS",
    "Pair",
    "Vocabulary",
    "Word",
    "assemble_vocabulary",
    "learnt_merges",
    "merge",
    "spelled",
    "write_checkpoint",
    "write_configuration",
    "write_text_tokenizer",
]
