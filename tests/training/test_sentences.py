"""What the teacher is given to say."""

import random
from pathlib import Path

import pytest

import training.sentences
from training.sentences import Grammar, read_grammar, spelled, split_prose


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (215, "two hundred and fifteen"),
        (7000, "seven thousand"),
        (12_034, "twelve thousand thirty-four"),
    ],
)
def test_numbers_are_spelled(number: int, words: str) -> None:
    assert spelled(number) == words


def test_prose_is_cut_at_sentence_ends_only() -> None:
    text = 'Mr. Smith came home.\nHe said: It is "late". Nobody\nanswered -- it was\u2019nt a question.'
    assert split_prose(text) == [
        "Mr. Smith came home.",
        "He said: It is late.",
        "Nobody answered, it was'nt a question.",
    ]


@pytest.mark.parametrize("sentence", ["In 1999 it rained.", "STOP that now.", "No end", "A.", "word " * 40 + "end."])
def test_what_needs_reading_rules_is_left_out(sentence: str) -> None:
    assert split_prose(sentence) == []


def test_grammar_leaves_no_slot_open() -> None:
    rules = read_grammar(Path(training.sentences.__file__).with_name("grammar.txt"))
    rules |= {kind: [kind] for kind in ("noun", "adjective", "verb", "firstname")}
    grammar = Grammar(rules, random.Random(1))
    sentences = [grammar.sentence() for _ in range(500)]
    assert not any("{" in sentence for sentence in sentences)
    assert all(sentence[0] == sentence[0].upper() for sentence in sentences)
    assert len(set(sentences)) > 400
