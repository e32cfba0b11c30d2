"""Whether a transcript can be that of its clip, told by nothing but its length."""

import unicodedata

USUAL_LETTERS = 15  # a second, of speech in most languages that are written in letters
LEAST_LETTERS, MOST_LETTERS = 1.5, 40.0  # a second: slower with its pauses, or faster, is nobody
SYLLABLE = 3  # letters that a wide character (Chinese, Japanese, Korean) or a digit stands for


def transcript_warning(text: str, seconds: float) -> str | None:
    """What is to be said of a transcript that cannot be what is spoken in so many seconds; None where it can."""
    letters = sum(map(_letters, text))
    if letters < LEAST_LETTERS * seconds:
        found = "is too short for its clip"
    elif letters > MOST_LETTERS * seconds:
        found = "is too long for its clip"
    else:
        return None
    return (
        f"the transcript {found} ({letters} letters for {seconds:.1f} s, speech has about {USUAL_LETTERS} a second): "
        "where it is not what is said there, word for word, the voice may repeat itself or break off"
    )


def _letters(character: str) -> int:
    kind = unicodedata.category(character)
    if kind[0] not in "LN":
        return 0
    is_wide = unicodedata.east_asian_width(character) in "WF"
    return SYLLABLE if is_wide or kind[0] == "N" else 1
