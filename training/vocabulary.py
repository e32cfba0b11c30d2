"""The text vocabulary of the embedded voice: letters, letters that are one sound together, frequent pieces of words,
and special tokens.

Text arrives at one token a frame of 80 ms. Tokens are long enough that it stays ahead of a quick speaker, and short
enough that each is one or a few sounds.
"""

import re
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from models.synthetic import Vocabulary, assemble_vocabulary, write_text_tokenizer
from models.text import TextTokenizer, byte_symbols

# Each pair becomes one token, the first ones first.
_SOUNDS = (
    *("t h", "s h", "c h", "p h", "w h", "c k", "n g", "k n", "w r", "g h"),
    *("b b", "c c", "d d", "f f", "g g", "l l", "m m", "n n", "p p", "r r", "s s", "t t", "z z"),
    *("i gh", "e igh", "o u", "ou gh", "a u", "au gh"),
    *("a i", "a y", "a w", "e a", "e e", "e i", "e w", "e y", "i e", "o a", "o i", "o o", "o w", "o y"),
    *("e r", "i r", "u r"),
)
_TOGETHER = sorted((pair.replace(" ", "") for pair in _SOUNDS), key=len, reverse=True)
_SOUND = re.compile("|".join((*_TOGETHER, ".")), re.IGNORECASE)
# "assistant" must be one token, because prompts are cut by position.
_ASSISTANT = ("ss i", "ssi s", "ssis t", "ssist a", "ssista n", "ssistan t", "a ssistant")
_PIECES = Path(__file__).with_name("pieces.txt")  # what `training.pieces` finds


def _pairs(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in (line.split() for line in lines))


BEFORE_PIECES = _pairs((*_SOUNDS, *_ASSISTANT))
PIECES = _pairs(_PIECES.read_text(encoding="utf-8").splitlines())


def sound_vocabulary() -> Vocabulary:
    """In the published layout."""
    line_feed = byte_symbols()[ord("\n")]
    return assemble_vocabulary([*BEFORE_PIECES, *PIECES, (line_feed, line_feed)])


def sounds_of_word(word: str) -> list[str]:
    """Its letters, those that are one sound together."""
    return _SOUND.findall(word)


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
