"""What the teacher says: sentences of a small grammar, of public-domain prose, and lists of words."""

import random
import re
from pathlib import Path

from training import sources

_SLOT = re.compile(r"\{(\w+)\}")
_ABBREVIATED = re.compile(r"\b(Mr|Mrs|Dr|St|Capt|No|Hon|Gen|Lt|Col|U\.S|[A-Z])\.$")
_SPOKEN = re.compile(r"[A-Za-z ,.;:'!?\"-]+")
_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_LETTERS = (5, 150)  # least and most of a sentence


def spelled(number: int) -> str:
    """A number from 0 to 999,999 in words."""
    if number < 20:
        return _UNITS[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f"-{_UNITS[number % 10]}" if number % 10 else "")
    if number < 1000:
        rest = f" and {spelled(number % 100)}" if number % 100 else ""
        return f"{_UNITS[number // 100]} hundred{rest}"
    rest = f" {spelled(number % 1000)}" if number % 1000 else ""
    return f"{spelled(number // 1000)} thousand{rest}"


def read_grammar(path: Path) -> dict[str, list[str]]:
    """Name -> alternatives."""
    rules: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, alternatives = line.split(":", 1)
            rules[name] = [alternative.strip() for alternative in alternatives.split(" | ")]
    return rules


class Grammar:
    """Expands rules at random."""

    def __init__(self, rules: dict[str, list[str]], generator: random.Random) -> None:
        self._rules = rules
        self._generator = generator

    def sentence(self) -> str:
        """One sentence, its first letter capital."""
        text = self._expand("root")
        return text[0].upper() + text[1:]

    def _expand(self, name: str) -> str:
        if name == "number":
            return spelled(self._generator.choice((self._generator.randint(0, 30), self._generator.randint(0, 9999))))
        if name[0].isupper():
            text = self._expand(name[0].lower() + name[1:])
            return text[0].upper() + text[1:]
        return _SLOT.sub(lambda match: self._expand(match[1]), self._generator.choice(self._rules[name]))


def split_prose(text: str) -> list[str]:
    """Sentences of a text that are short enough and need no reading rules: letters and plain punctuation only."""
    flat = re.sub(r"\s+", " ", text.replace("\u2019", "'").replace("\u2014", ", ").replace("--", ", ").replace("_", ""))
    found: list[str] = []
    pending = ""
    for part in re.split(r"(?<=[.!?])\s+(?=[\"A-Z])", flat):
        pending = f"{pending} {part}".strip()
        if _ABBREVIATED.search(part):
            continue
        found.append(pending)
        pending = ""
    return [sentence for sentence in (_tidy(sentence) for sentence in found) if _speakable(sentence)]


def _tidy(sentence: str) -> str:
    """Without quotation marks, which stand unpaired after splitting, and without stray commas."""
    return re.sub(r"\s*,(\s*,)*", ",", sentence.replace('"', "")).strip(" ,-")


def _speakable(sentence: str) -> bool:
    shouted = sum(word.isupper() and len(word) > 1 for word in sentence.split())
    ended = sentence[-1:] in (".", "!", "?")
    return ended and not shouted and _fits(sentence) and _SPOKEN.fullmatch(sentence) is not None


def _fits(sentence: str) -> bool:
    return _LETTERS[0] <= len(sentence) <= _LETTERS[1]


def sentence_pool(directory: Path, count: int, seed: int) -> list[str]:
    """`count` different sentences in random order, from what `sources` downloaded into `directory`.

    About half are the grammar's, the rest prose of the 20th and 21st century and, for its vocabulary, of the 19th.
    """
    generator = random.Random(seed)
    rules = read_grammar(Path(__file__).with_name("grammar.txt"))
    rules |= {kind: sources.words(directory, kind) for kind in ("noun", "adjective", "verb")}
    rules["firstname"] = sources.names(directory)
    grammar = Grammar(rules, generator)
    modern = sorted(set(split_prose(sources.prose(directory, "sotu", since="1930"))))
    old = sorted(set(split_prose(sources.prose(directory, "moby-dick"))))
    pool = set(generator.sample(modern, min(len(modern), count * 7 // 20)))
    pool.update(generator.sample(old, min(len(old), count * 3 // 20)))
    while len(pool) < count:
        sentence = grammar.sentence()
        if _fits(sentence):
            pool.add(sentence)
    return generator.sample(sorted(pool), count)
