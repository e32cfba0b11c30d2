"""Long texts are cut where a reader would breathe, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.replica.passages import split_passages


def test_a_short_text_stays_as_it_is() -> None:
    assert split_passages("  Hello.\n", 100) == ["  Hello.\n"]


@pytest.mark.parametrize(
    ("text", "longest", "passages"),
    [
        ("One sentence. Another one. A third.", 28, ["One sentence. Another one.", "A third."]),
        ("First paragraph.\n\nSecond one. It goes on.", 30, ["First paragraph.", "Second one. It goes on."]),
        ('He said "stop!" and left. Then, nothing.', 30, ['He said "stop!" and left.', "Then, nothing."]),
        ("a clause, another clause, a third clause", 26, ["a clause, another clause,", "a third clause"]),
        ("no marks at all in here", 12, ["no marks at", "all in here"]),
        ("x" * 25, 10, ["x" * 10, "x" * 10, "x" * 5]),
        ("你好。今天天气很好。我们走吧。", 24, ["你好。", "今天天气很好。", "我们走吧。"]),
        ("3.14 is pi. 2.72 is e.", 12, ["3.14 is pi.", "2.72 is e."]),
    ],
)
def test_cuts(text: str, longest: int, passages: list[str]) -> None:
    assert split_passages(text, longest) == passages


@given(text=st.text(max_size=300), longest=st.integers(3, 60))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, longest: int) -> None:
    passages = split_passages(text, longest)
    assert "".join("".join(passages).split()) == "".join(text.split())
    if len(passages) > 1:
        assert all(len(passage) <= longest for passage in passages)
