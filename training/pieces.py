"""Pieces of words that become tokens: `python -m training.pieces` prints what pieces.txt holds.

Byte-pair encoding of the corpus' sentences on top of the letters that are one sound: the pair that is met most often
becomes one, and so on.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from models.text_tokenizer import byte_symbols
from training.corpus import Corpus
from training.vocabulary import BEFORE_PIECES, PIECES
from training.work import work_of, work_parser

_CHUNKS = re.compile(r" ?[A-Za-z]+|'[a-z]+|[^A-Za-z ]")  # as far as tokens may reach
_LETTERS = 4  # of a piece at most: a longer one would say too much at once

Pair = tuple[str, str]


def _joined(word: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    parts: list[str] = []
    for part in word:
        if parts and (parts[-1], part) == pair:
            parts[-1] += part
        else:
            parts.append(part)
    return tuple(parts)


def frequent_pairs(texts: Iterable[str], count: int) -> Iterator[Pair]:
    """At most `count` pairs to be joined, in order, in the symbols of the text vocabulary."""
    symbols = byte_symbols()
    space = symbols[ord(" ")]
    chunks = Counter(chunk for text in texts for chunk in _CHUNKS.findall(text))
    words = Counter[tuple[str, ...]]()
    for chunk, times in chunks.items():
        word = tuple(symbols[byte] for byte in chunk.encode())
        for pair in BEFORE_PIECES:
            word = _joined(word, pair)
        words[word] += times
    for _ in range(count):
        pairs = Counter[Pair]()
        for word, times in words.items():
            for pair in pairwise(word):
                if len("".join(pair).strip(space)) <= _LETTERS:
                    pairs[pair] += times
        if not pairs:
            return
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        yield best
        words = Counter({_joined(word, best): times for word, times in words.items()})


def main() -> None:
    """The command line."""
    corpus = Corpus(work_of(work_parser("Find the pieces of words that become tokens").parse_args()))
    for pair in frequent_pairs((one.text for one in corpus.utterances), len(PIECES)):
        sys.stdout.write(" ".join(pair) + "\n")


if __name__ == "__main__":
    main()
