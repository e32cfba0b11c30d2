"""Transcripts that can be those of their clips, and those that cannot."""

import pytest

from voices.make_presets import TRANSCRIPT
from voices.transcript import transcript_warning

SAID = (
    (TRANSCRIPT, 8.9),
    ("Yes.", 1.0),
    ("Hello, this is a test.", 3.5),
    ("I said it so fast that nobody who listened to me understood one word of all this.", 3.0),
    (
        "\u6cb3\u6c34\u9759\u9759\u5730\u6d41\u8fc7\u53e4\u8001\u7684\u77f3\u6865\u3002",
        3.0,
    ),  # Chinese: a letter is a syllable
    ("\uac15\ubb3c\uc774 \uc870\uc6a9\ud788 \ud750\ub978\ub2e4", 2.0),
    ("2024", 2.0),
    ("\u0420\u0435\u043a\u0430 \u0442\u0438\u0445\u043e \u0442\u0435\u0447\u0451\u0442", 1.5),
)


@pytest.mark.parametrize(("text", "seconds"), SAID)
def test_what_people_say(text: str, seconds: float) -> None:
    assert transcript_warning(text, seconds) is None


@pytest.mark.parametrize(
    ("text", "seconds", "found"),
    [
        ("Hello.", 20.0, "too short"),
        ("...!?", 2.0, "too short"),
        ("\u4f60\u597d", 10.0, "too short"),
        (TRANSCRIPT, 1.5, "too long"),
        ("word " * 300, 10.0, "too long"),
        ("\u6cb3" * 40, 2.0, "too long"),
        ("Hello.", 0.0, "too long"),
    ],
)
def test_what_nobody_can_say(text: str, seconds: float, found: str) -> None:
    warning = transcript_warning(text, seconds)
    assert warning is not None
    assert found in warning
    assert f"{seconds:.1f} s" in warning
