"""Pieces of words."""

from training.pieces import frequent_pairs
from training.vocabulary import PIECES


def test_the_most_frequent_pair_comes_first() -> None:
    assert list(frequent_pairs(["the cat", "the hen", "the cat"], 3)) == [("th", "e"), ("Ġ", "c"), ("Ġc", "a")]


def test_no_piece_is_longer_than_four_letters() -> None:
    assert max(len("".join(pair)) for pair in frequent_pairs(["banana bandana ban"], 9)) == 5  # with its space


def test_the_vocabulary_has_them() -> None:
    assert ("Ġth", "e") in PIECES
