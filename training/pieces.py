"""Pieces of words that become tokens: `python -m training.pieces` prints what pieces.txt holds.

Byte-pair encoding of the corpus' sentences on top of the letters that are one sound: the pair that is met most often
becomes one, and so on.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import reduce

from models.synthetic import Pair, Word, learnt_merges, merge, spelled
from models.text import byte_symbols
from training.corpus import Corpus
from training.vocabulary import BEFORE_PIECES, PIECES
from training.work import work_of, work_parser

_CHUNKS = re.compile(r" ?[A-Za-z]+|'[a-z]+|[^A-Za-z ]")  # as far as tokens may reach
_LETTERS = 4  # of a piece at most: a longer one would say too much at once

_SPACE = byte_symbols()[ord(" ")]


def _most_frequent(pairs: Counter[Pair]) -> Pair | None:
    """Of those that are short enough."""
    short = (pair for pair in pairs if len("".join(pair).strip(_SPACE)) <= _LETTERS)
    return max(short, key=lambda pair: (pairs[pair], pair), default=None)


def frequent_pairs(texts: Iterable[str], count: int) -> Iterator[Pair]:
    """At most `count` pairs to be joined, in order, in the symbols of the text vocabulary."""
    chunks = Counter(chunk for text in texts for chunk in _CHUNKS.findall(text))
    words = Counter[Word]()
    for chunk, times in chunks.items():
        words[reduce(merge, BEFORE_PIECES, spelled(chunk))] += times
    return learnt_merges(words, count, _most_frequent)


def main() -> None:
    """The command line."""
    corpus = Corpus(work_of(work_parser("Find the pieces of words that become tokens").parse_args()))
    for pair in frequent_pairs((one.text for one in corpus.utterances), len(PIECES)):
        sys.stdout.write(" ".join(pair) + "\n")


if __name__ == "__main__":
    main()
