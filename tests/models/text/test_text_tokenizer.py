"""Token ids equal to upstream's processor, for every way in which upstream may load it, and Qwen's own when asked for
nothing else."""

import json
import shutil
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import Kind
from models.catalog.shapes import SHAPES
from models.checkpoint.checkpoint import open_checkpoint
from models.errors import CheckpointError
from models.synthetic.configuration import model_config, tokenizer_config
from models.synthetic.vocabulary import SPECIAL_TOKENS, Vocabulary, build_vocabulary
from models.text.text_tokenizer import TextTokenizer, byte_symbols
from models.upstream import import_upstream

CORPUS = [
    "Hello, this is a test. It's 3.14 o'clock; don't panic — we'll see, they've been, I'd say, you're RIGHT!",
    "你好，世界！今天的天气很好，我们去公园吧。一二三四五，１２３。",
    "Der süße Äpfel-Über­fluß kostet 1.234,56 €, naïve Grüße aus Köln.",
    "Ciao! Perché no? L'università è là, dov'è la città più bella.",
    "Olá, não há ação sem coração; às vezes é só isso.",
    "¿Qué tal, señor Núñez? ¡Mañana será otro día!",
    "こんにちは、世界。今日はとても良い天気ですね。カタカナとｶﾀｶﾅ、㍿。",
    "안녕하세요, 세계! 오늘 날씨가 참 좋네요.",
    "안녕 decomposed Hangul",
    "Bonjour, ça va ? L’été à Noël, c'est « génial », œuvre, aujourd'hui.",
    "Привет, мир! Ёлка, подъезд, объявление, №5.",
    "emoji 😀👍🏽👨‍👩‍👧‍👦🇩🇪 and ❤️ with text️",
    "combining: e\u0301 a\u0308 o\u0302\u0301 n\u0303 \u0061\u0323\u0307 q\u0307\u0323 \u1e0b\u0323",
    "हिन्दी में लिखा हुआ पाठ, ไทย ภาษา, العربية مع تَشْكِيل, עִבְרִית",
    "zalgo Z̸̡̛͔̝͖a̴͇͝l̵̨̛g̷̰̈o̶",
    "def f(x):\n    return {'a': x**2, \"b\": [1, 2, 3]}  # comment\n\n\tif x != y: pass",
    '<html><body class="x">&nbsp;</body></html> https://example.org/a/b?c=d&e=%20#f',
    "camelCase HTTPServer XMLHttpRequest iPhone snake_case SCREAMING_SNAKE ǅungla",
    "spaces  two   three\ttab\r\ncrlf\n\n\nlines \n trailing   ",
    "\n\nleading line feeds",
    "no\u00a0break\u2003em\u3000ideographic\u200bzero\u200dwidth\ufeffbom",
    "a/b/c //comment\n/path/to/file\n/\r\n/",
    "!!!???...,,,;;;:::---___===+++***",
    "x²⁺¹ ½ Ⅷ ④ ٣ ९ 123456789",
    "\x00\x01\x7f control \u0085 next line \u2028 separator",
    "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>assistant\n",
    "text with <|im_end|> inside and <tts_pad><tts_text_bos><think></think> and <|endoftext|>",
    "almost <|im_end| > <|im_end <im_end> <|IM_END|>",
    "  <|im_start|>  spaces around  <|im_end|>  ",
    "ﬁ ligature, Å angstrom \u212b, ohm \u2126, kelvin \u212a",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎 \U000e0041",
    "",
    " ",
    "a",
]
SMALL, LARGE = 4000, 100_001  # beyond 100,000 tokens upstream may replace the pattern that splits words
MakeFolder = Callable[[int, str | None], Path]


def crossing_vocabulary(tokens: int) -> Vocabulary:
    """Merges of whatever stands side by side in the corpus, so that where words are split decides the ids; filled up
    with tokens that no text becomes."""
    symbols = byte_symbols()
    spelled = ["".join(symbols[byte] for byte in unicodedata.normalize("NFC", text).encode()) for text in CORPUS]
    merges = list(dict.fromkeys(pair for text in spelled for pair in pairwise(text)))
    names = [*symbols.values(), *("".join(pair) for pair in merges)]
    names += [f"filler {index}" for index in range(tokens - len(names))]
    special = {name: len(names) + index for index, name in enumerate(SPECIAL_TOKENS)}
    return Vocabulary({name: index for index, name in enumerate(names)}, merges, special)


def write_tokenizer(directory: Path, vocabulary: Vocabulary, config: dict[str, Any]) -> None:
    files = {"vocab.json": vocabulary.ids, "config.json": config, "tokenizer_config.json": tokenizer_config(vocabulary)}
    for name, value in files.items():
        (directory / name).write_text(json.dumps(value))
    (directory / "merges.txt").write_text("\n".join(" ".join(pair) for pair in vocabulary.merges))


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Callable[[Kind], Path], tmp_path_factory: pytest.TempPathFactory) -> MakeFolder:
    """A folder as `from_pretrained` finds it: how many tokens it has, and which version of transformers it names."""

    @cache
    def make(tokens: int, version: str | None) -> Path:
        directory = tmp_path_factory.mktemp("tokenizer") / "checkpoint"
        shutil.copytree(tiny_checkpoint("voice_design"), directory)
        config = json.loads((directory / "config.json").read_text())
        named = {"transformers_version": version} if version else {}
        write_tokenizer(directory, crossing_vocabulary(tokens), config | named)
        return directory

    return make


@cache
def processor(directory: Path) -> Any:
    """Upstream's, loaded as `Qwen3TTSModel.from_pretrained` loads it."""
    models = import_upstream("qwen_tts.core.models")
    transformers = import_upstream("transformers")
    transformers.AutoConfig.register("qwen3_tts", models.Qwen3TTSConfig, exist_ok=True)
    transformers.AutoProcessor.register(models.Qwen3TTSConfig, models.Qwen3TTSProcessor, exist_ok=True)
    return transformers.AutoProcessor.from_pretrained(str(directory), fix_mistral_regex=True)


def upstream_ids(directory: Path, text: str) -> list[int]:
    return processor(directory)(text=text, return_tensors="pt", padding=True)["input_ids"][0].long().tolist()


# Transformers replaces the word pattern of a large vocabulary in a folder that names no version, or one of these.
@pytest.mark.parametrize(
    ("tokens", "version", "mistrals_words"),
    [
        (SMALL, None, False),
        (SMALL, "4.57.3", False),
        (100_000, None, False),
        (LARGE, None, True),
        (LARGE, "4.57.3", True),
        (LARGE, "4.57.2", False),
        (LARGE, "4.40", False),
        (LARGE, "5.0.0", False),
    ],
)
def test_corpus_equals_upstream(folder: MakeFolder, tokens: int, version: str | None, mistrals_words: bool) -> None:
    directory = folder(tokens, version)
    tokenizer = TextTokenizer.load(directory, mistrals_words)
    for text in CORPUS:
        assert tokenizer.encode(text) == upstream_ids(directory, text), text


def test_word_patterns_differ_so_that_the_choice_matters(folder: MakeFolder) -> None:
    replaced, kept = (
        TextTokenizer.load(folder(LARGE, None), mistrals_words=True),
        TextTokenizer.load(folder(LARGE, None)),
    )
    assert sum(replaced.encode(text) != kept.encode(text) for text in CORPUS) > 2


@pytest.mark.parametrize("version", [None, "4.57.3", "5.0.0"])
def test_wherever_a_checkpoint_lies_its_own_pattern_is_used(folder: MakeFolder, version: str | None) -> None:
    tokenizer = open_checkpoint(folder(LARGE, version)).text_tokenizer
    for text in CORPUS:
        assert tokenizer.encode(text) == upstream_ids(folder(LARGE, "4.57.2"), text), text


@pytest.mark.parametrize(("tokens", "mistrals_words"), [(SMALL, False), (LARGE, True)])
def test_any_text_equals_upstream(folder: MakeFolder, tokens: int, mistrals_words: bool) -> None:
    directory = folder(tokens, None)
    tokenizer = TextTokenizer.load(directory, mistrals_words)

    @settings(max_examples=200, deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
    def check(text: str) -> None:
        assert tokenizer.encode(text) == upstream_ids(directory, text)

    check()


def test_published_vocabulary_has_the_published_ids(tmp_path: Path) -> None:
    vocabulary = build_vocabulary(SHAPES["0.6b"].text_tokens)
    config = model_config(SHAPES["0.6b"], "base", vocabulary)
    assert {name: config[f"{name}_token_id"] for name in ("im_start", "im_end", "tts_bos", "tts_eos", "tts_pad")} == {
        "im_start": 151644,
        "im_end": 151645,
        "tts_bos": 151672,
        "tts_eos": 151673,
        "tts_pad": 151671,
    }
    write_tokenizer(tmp_path, vocabulary, config)
    tokenizer = TextTokenizer.load(tmp_path)
    assert tokenizer.encode("<|im_start|>assistant\n") == [151644, 77091, 198]
    assert len(tokenizer) <= SHAPES["0.6b"].text_vocabulary


def test_finds_control_tokens_that_a_text_spells(tiny_checkpoint: Callable[[Kind], Path]) -> None:
    tokenizer = TextTokenizer.load(tiny_checkpoint("base"))
    assert tokenizer.control_token(tokenizer.encode("fine <|text|> here")) is None
    assert tokenizer.control_token(tokenizer.encode("ends <|im_end|> early <|im_start|>")) == "<|im_end|>"
    assert tokenizer.control_token(tokenizer.encode("</think>")) == "</think>"


def test_decodes_what_it_encoded(tiny_checkpoint: Callable[[Kind], Path]) -> None:
    tokenizer = TextTokenizer.load(tiny_checkpoint("base"))
    text = "Ünïcödé 你好 <|im_end|> 😀"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def damage_vocabulary(directory: Path) -> None:
    (directory / "vocab.json").write_text('{"a": "b"}')


def damage_merges(directory: Path) -> None:
    (directory / "merges.txt").write_text("#version: 0.2\na b c\n")


def damage_fit(directory: Path) -> None:
    (directory / "merges.txt").write_text("#version: 0.2\nqqq zzz\n")


def damage_added_tokens(directory: Path) -> None:
    path = directory / "tokenizer_config.json"
    path.write_text(path.read_text().replace('"<|im_end|>",\n      "lstrip"', '"<|im_start|>",\n      "lstrip"'))


def remove_vocabulary(directory: Path) -> None:
    (directory / "vocab.json").unlink()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (damage_vocabulary, "vocab.json"),
        (damage_merges, "merges.txt"),
        (damage_fit, "merges.txt"),
        (damage_added_tokens, "<|im_start|>"),
        (remove_vocabulary, "vocab.json"),
    ],
)
def test_damaged_files_are_named(
    tiny_checkpoint: Callable[[Kind], Path], tmp_path: Path, damage: Callable[[Path], None], named: str
) -> None:
    directory = tmp_path / "damaged"
    shutil.copytree(tiny_checkpoint("voice_design"), directory)
    damage(directory)
    with pytest.raises(CheckpointError) as error:
        TextTokenizer.load(directory)
    assert named in str(error.value)
