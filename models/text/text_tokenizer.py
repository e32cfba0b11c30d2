"""Text to token ids, equal to upstream's processor id for id, without transformers.

With one exception. Upstream loads the tokenizer with `fix_mistral_regex=True`, and transformers 4.57.3 then replaces
the pattern that splits text into words by Mistral's when the vocabulary is large, as the published one is, and the
checkpoint lies in a local folder; from the hub it leaves the pattern alone. The patterns differ for combining marks,
camel case, apostrophes and slashes. The models were trained with their own pattern, and a checkpoint must not read
otherwise because of where it lies: here it is always that one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from models.architecture import read_config
from models.errors import CheckpointError

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MISTRALS_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def byte_symbols() -> dict[int, str]:
    """The printable character that stands for each byte, in the order of their token ids (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    symbols.update((byte, chr(256 + index)) for index, byte in enumerate(others))
    return symbols


def _read_vocabulary(path: Path) -> dict[str, int]:
    ids = read_config(path).values
    if not all(isinstance(index, int) for index in ids.values()):
        raise CheckpointError(f"{path}: token ids must be whole numbers")
    return dict(ids)


def _read_merges(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if lines[0].startswith("#version:"):
        lines = lines[1:]
    pairs = [tuple(line.split()) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise CheckpointError(f"{path}: a line does not hold two symbols")
    return cast(list[tuple[str, str]], pairs)


def _read_added_tokens(directory: Path) -> dict[int, tuple[str, dict[str, bool]]]:
    """Id -> name and flags of each token that is not in vocab.json."""
    path = directory / "tokenizer_config.json"
    table = read_config(path).section("added_tokens_decoder").values
    tokens: dict[int, tuple[str, dict[str, bool]]] = {}
    try:
        for index in sorted(table, key=int):
            flags = {name: bool(table[index][name]) for name in _FLAGS}
            tokens[int(index)] = (str(table[index]["content"]), flags)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: bad added token: {error!r}") from None
    return tokens


# The library's stubs leave its types open, hence Any.
def _build(directory: Path, mistrals_words: bool) -> Any:
    vocabulary = _read_vocabulary(directory / "vocab.json")
    merges = _read_merges(directory / "merges.txt")
    try:
        tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower for merges outside the vocabulary
        raise CheckpointError(f"{directory}: vocab.json and merges.txt do not fit each other: {error}") from None
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(_MISTRALS_WORDS if mistrals_words else WORDS), behavior="isolated")
    symbols = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, symbols])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _add_token(tokenizer: Any, name: str, flags: dict[str, bool]) -> None:
    token = [AddedToken(name, **flags)]
    if flags["special"]:
        tokenizer.add_special_tokens(token)
    else:
        tokenizer.add_tokens(token)


class TextTokenizer:
    """The text tokenizer of one checkpoint."""

    def __init__(self, tokenizer: Any, special_tokens: dict[str, int]) -> None:
        self._tokenizer = tokenizer
        self._control = {index: name for name, index in special_tokens.items()}

    @classmethod
    def load(cls, directory: Path, mistrals_words: bool = False) -> "TextTokenizer":
        """Read vocab.json, merges.txt and tokenizer_config.json; `mistrals_words` does as transformers does with some
        folders, to be compared with it. Raises CheckpointError."""
        tokenizer = _build(directory, mistrals_words)
        special: dict[str, int] = {}
        for index, (name, flags) in _read_added_tokens(directory).items():
            _add_token(tokenizer, name, flags)
            if tokenizer.token_to_id(name) != index:
                raise CheckpointError(f"{directory}: token {name!r} cannot have id {index}")
            special[name] = index
        return cls(tokenizer, special)

    def __len__(self) -> int:
        """One more than the largest token id."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Token ids. As upstream's, it makes a control token of text that spells one: see `control_token`."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def control_token(self, ids: Sequence[int]) -> str | None:
        """The first control token among `ids`, for callers that must not let a speaker forge a prompt."""
        return next((self._control[index] for index in ids if index in self._control), None)

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, control tokens included."""
        return self._tokenizer.decode(ids, skip_special_tokens=False)
