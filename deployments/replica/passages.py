"""Long texts in passages that one utterance can hold, cut where a reader would breathe.

The model speaks one utterance of at most a couple of minutes, and keeps its voice best in shorter ones. A chapter is
spoken passage after passage.
"""

import re
import unicodedata
from collections.abc import Iterator

# Where a passage may end, best first: after a paragraph, a sentence, a clause, a word.
_BREAKS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[」』”’）]*|\n"),
    re.compile(r"[,;:—–](?=\s)|[，、；：]"),
    re.compile(r"\s"),
)
_WIDE_WEIGHT = 3  # a Chinese, Japanese or Korean character takes about as long to say as three letters


def _weight(character: str) -> int:
    return _WIDE_WEIGHT if unicodedata.east_asian_width(character) in "WF" else 1


def split_passages(text: str, longest: int) -> list[str]:
    """Passages of at most `longest` letters each (wide characters count three), without surrounding white space.

    A text that is short enough is returned as it is. No other character is lost.
    """
    if sum(map(_weight, text)) <= longest:
        return [text]
    return [passage for passage in (piece.strip() for piece in _cut(text, longest)) if passage]


def _cut(text: str, longest: int) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start + _prefix(text[start:], longest)
        if end < len(text):
            end = start + _last_break(text[start : end + 1])
        yield text[start:end]
        start = end


def _prefix(text: str, longest: int) -> int:
    """How many characters weigh at most `longest`; at least one."""
    weight = 0
    for count, character in enumerate(text):
        weight += _weight(character)
        if weight > longest:
            return max(1, count)
    return len(text)


def _last_break(window: str) -> int:
    """Where to cut a window that is one character longer than allowed: at the last of the best breaks in its second
    half, else at the last break of any kind, else at its end."""
    limit = len(window) - 1
    for breaks in _BREAKS:
        ends = [match.end() for match in breaks.finditer(window) if match.end() <= limit]
        if ends and ends[-1] >= limit // 2:
            return ends[-1]
    ends = [match.end() for breaks in _BREAKS for match in breaks.finditer(window) if match.end() <= limit]
    return max(ends, default=limit)
