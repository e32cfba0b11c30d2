"""The text vocabulary of the embedded voice: bytes, then the pairs most frequent in the corpus, then special tokens.

Text may trail the speech by one token a frame, so tokens of one letter would come too late: two letters a token keep
ahead of the fastest speech. Longer ones would leave too few examples of each.
"""

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from models.synthetic.vocabulary import Pair, Vocabulary, assemble_vocabulary
from models.text_tokenizer import WORDS, byte_symbols

MERGES = 320
_LONGEST = 4  # letters of a token


def learn_vocabulary(sentences: Iterable[str]) -> Vocabulary:
    """A vocabulary from the corpus, in the published layout."""
    tokenizer: Any = Tokenizer(BPE())
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    symbols = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, symbols])
    alphabet = list(byte_symbols().values())
    size = len(alphabet) + MERGES
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=alphabet, max_token_length=_LONGEST, show_progress=False)
    tokenizer.train_from_iterator(sentences, trainer)
    learnt: list[Pair] = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    return assemble_vocabulary(learnt)
