"""A byte-level vocabulary with merges, learnt from a few sentences built in here.

Laid out as the published one: the 256 byte symbols first (so that a line feed is token 198), then merged symbols,
then special tokens.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product

from models.text import byte_symbols

# Name -> whether decoding skips it; in the published order, without gaps, after the last token of vocab.json.
SPECIAL_TOKENS: dict[str, bool] = {
    **dict.fromkeys(
        (
            "<|endoftext|>",
            "<|im_start|>",
            "<|im_end|>",
            "<|object_ref_start|>",
            "<|object_ref_end|>",
            "<|box_start|>",
            "<|box_end|>",
            "<|quad_start|>",
            "<|quad_end|>",
            "<|vision_start|>",
            "<|vision_end|>",
            "<|vision_pad|>",
            "<|image_pad|>",
            "<|video_pad|>",
        ),
        True,
    ),
    **dict.fromkeys(
        (
            "<tool_call>",
            "</tool_call>",
            "<|fim_prefix|>",
            "<|fim_middle|>",
            "<|fim_suffix|>",
            "<|fim_pad|>",
            "<|repo_name|>",
            "<|file_sep|>",
            "<tool_response>",
            "</tool_response>",
            "<think>",
            "</think>",
        ),
        False,
    ),
    **dict.fromkeys(
        (
            "<|audio_start|>",
            "<|audio_end|>",
            "<tts_pad>",
            "<tts_text_bos>",
            "<tts_text_eod>",
            "<tts_text_bos_single>",
            "<|audio_pad|>",
        ),
        True,
    ),
}
_SAMPLE = """the quick brown fox jumps over the lazy dog and then it rests for the rest of the day
this is a test of the voice that speaks what you write user assistant hello there how are you today
die Stimme liest den Text vor und der Fuchs springt über den Hund
la voix lit le texte et le renard saute par dessus le chien c'est très bien
la voz lee el texto y el zorro salta sobre el perro mañana
la voce legge il testo e la volpe salta sopra il cane perché
a voz lê o texto e a raposa pula sobre o cão não
голос читает текст и лиса прыгает через собаку
声音朗读文字 狐狸跳过了狗 你好 今天天气很好
声が文章を読み上げます きつねは犬を飛び越えます こんにちは
목소리가 글을 읽습니다 여우가 개를 뛰어넘습니다 안녕하세요"""
_LETTERS = "etaoinshrdlcumwfgypbvkjxqz"
_ASSISTANT_ID = 77091  # where published checkpoints have it; smaller vocabularies have it with the other merges

Pair = tuple[str, str]
Word = tuple[str, ...]  # in symbols


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What vocab.json and merges.txt hold, and the ids of the special tokens."""

    ids: dict[str, int]
    merges: list[Pair]
    special_ids: dict[str, int]


def merge(word: Word, pair: Pair) -> Word:
    """The word with every such pair made one symbol."""
    merged: list[str] = []
    for symbol in word:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return tuple(merged)


def _chain(word: str) -> list[Pair]:
    """Merges that make one token of `word`."""
    return [(word[:index], word[index]) for index in range(1, len(word))]


def learnt_merges(words: Counter[Word], limit: int, best: Callable[[Counter[Pair]], Pair | None]) -> Iterator[Pair]:
    """At most `limit` pairs as byte-pair encoding learns them from words and how often each is met. `best` chooses
    among the pairs that are left, by how often each is met; None ends it."""
    for _ in range(limit):
        pairs = Counter[Pair]()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        chosen = best(pairs)
        if chosen is None:
            return
        yield chosen
        words = Counter({merge(word, chosen): count for word, count in words.items()})


def spelled(text: str) -> Word:
    """In the symbols of its bytes."""
    symbols = byte_symbols()
    return tuple(symbols[byte] for byte in text.encode())


def _most_frequent(pairs: Counter[Pair]) -> Pair | None:
    """Ties by their symbols."""
    return min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)


def _sample_merges(limit: int) -> Iterator[Pair]:
    """The most frequent pairs of the sample."""
    return learnt_merges(Counter(spelled(f" {word}") for word in _SAMPLE.split()), limit, _most_frequent)


def _letter_merges() -> Iterator[Pair]:
    """Strings of letters without end, shortest first, each a known string and one letter more."""
    length = 1
    while True:
        for head in product(_LETTERS, repeat=length):
            for letter in _LETTERS:
                yield "".join(head), letter
        length += 1


def _always() -> list[Pair]:
    """Merges that every vocabulary has: "assistant" must be one token, because prompts are cut by position; a double
    line feed is one token in the published vocabulary too, and shows where cutting by position goes wrong."""
    line_feed = byte_symbols()[ord("\n")]
    return [*_chain("assistant"), (line_feed, line_feed)]


def _merge_list(count: int) -> list[Pair]:
    merges = dict.fromkeys(_always())
    results = {first + second for first, second in merges}
    for source in (_sample_merges(min(count, 320)), _letter_merges()):
        for pair in source:
            if len(merges) == count:
                return list(merges)
            if pair[0] + pair[1] not in results:
                merges[pair] = None
                results.add(pair[0] + pair[1])
    raise AssertionError("letters make merges without end")


def _vocabulary(names: list[str], merges: list[Pair]) -> Vocabulary:
    assert len(set(names)) == len(names)
    return Vocabulary(
        ids={name: index for index, name in enumerate(names)},
        merges=merges,
        special_ids={name: len(names) + index for index, name in enumerate(SPECIAL_TOKENS)},
    )


def build_vocabulary(tokens: int) -> Vocabulary:
    """A vocabulary with `tokens` entries in vocab.json; special tokens take the ids after them."""
    symbols = list(byte_symbols().values())
    merges = _merge_list(tokens - len(symbols))
    names = symbols + [first + second for first, second in merges]
    if tokens > _ASSISTANT_ID:
        names.remove("assistant")
        names.insert(_ASSISTANT_ID, "assistant")
    return _vocabulary(names, merges)


def assemble_vocabulary(merges: list[Pair]) -> Vocabulary:
    """A vocabulary of bytes and the given merges, of which one must make "assistant"."""
    return _vocabulary([*byte_symbols().values(), *(first + second for first, second in merges)], merges)
