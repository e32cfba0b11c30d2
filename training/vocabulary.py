"""The text vocabulary of the embedded voice: letters, letters that are one sound together, and special tokens.

Text trails the speech by one token a frame of 80 ms. A sound takes about as long to say: what is spoken stands near
what was just read, and that is learnt in minutes where an alignment over longer distances takes hours.
"""

import tempfile
from functools import cache
from pathlib import Path

from models.synthetic.vocabulary import Vocabulary, assemble_vocabulary
from models.synthetic.writing import write_text_tokenizer
from models.text_tokenizer import TextTokenizer, byte_symbols

# Each pair becomes one token, the first ones first.
_SOUNDS = (
    *("t h", "s h", "c h", "p h", "w h", "c k", "n g", "k n", "w r", "g h"),
    *("b b", "c c", "d d", "f f", "g g", "l l", "m m", "n n", "p p", "r r", "s s", "t t", "z z"),
    *("i gh", "e igh", "o u", "ou gh", "a u", "au gh"),
    *("a i", "a y", "a w", "e a", "e e", "e i", "e w", "e y", "i e", "o a", "o i", "o o", "o w", "o y"),
    *("e r", "i r", "u r"),
)
# "assistant" must be one token, because prompts are cut by position. Built from its rarest pair, so that other words
# keep their letters.
_ASSISTANT = ("ss i", "ssi s", "ssis t", "ssist a", "ssista n", "ssistan t", "a ssistant")


def sound_vocabulary() -> Vocabulary:
    """In the published layout."""
    line_feed = byte_symbols()[ord("\n")]
    pairs = [(first, second) for first, second in (pair.split() for pair in (*_SOUNDS, *_ASSISTANT))]
    return assemble_vocabulary([*pairs, (line_feed, line_feed)])


@cache
def sound_tokenizer() -> TextTokenizer:
    """Of that vocabulary."""
    with tempfile.TemporaryDirectory() as directory:
        write_text_tokenizer(Path(directory), sound_vocabulary())
        return TextTokenizer.load(Path(directory))


def letters_of_tokens(text: str) -> list[int]:
    """How many letters each token of a text stands for."""
    tokenizer = sound_tokenizer()
    lengths = [len(tokenizer.decode([token])) for token in tokenizer.encode(text)]
    assert sum(lengths) == len(text), "no letter takes several tokens"
    return lengths
