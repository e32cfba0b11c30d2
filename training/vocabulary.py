"""The text vocabulary of the embedded voice: bytes, so that letters are tokens, and special tokens.

Text trails the speech by one token a frame of 80 ms. A letter takes about as long to say: what is spoken stands near
what was just read, and that is learnt in minutes where an alignment over longer distances takes hours.
"""

from models.synthetic.vocabulary import Pair, Vocabulary, assemble_vocabulary
from models.text_tokenizer import byte_symbols

# "assistant" must be one token, because prompts are cut by position. Built from its rarest pair, so that other words
# keep their letters; a double s is one sound anyway.
_ASSISTANT: list[Pair] = [
    ("s", "s"),
    ("a", "ss"),
    ("ass", "i"),
    ("assi", "s"),
    ("assis", "t"),
    ("assist", "a"),
    ("assista", "n"),
    ("assistan", "t"),
]


def letter_vocabulary() -> Vocabulary:
    """In the published layout."""
    line_feed = byte_symbols()[ord("\n")]
    return assemble_vocabulary([*_ASSISTANT, (line_feed, line_feed)])
