"""Texts that come with a voice: checked once, where they enter."""

from collections.abc import Iterable

from models.errors import InvalidRequestError

MAX_DESCRIPTION_CHARACTERS = 2_000
MAX_TRANSCRIPT_CHARACTERS = 2_000  # thirty seconds of speech are a few hundred
MAX_LANGUAGE_CHARACTERS = 40
MAX_LANGUAGES = 50


def parse_description(description: str, required: bool) -> str:
    """Without surrounding spaces. Raises InvalidRequestError."""
    parsed = _parse("description", description, MAX_DESCRIPTION_CHARACTERS)
    if required and not _is_visible(parsed):
        raise InvalidRequestError("description", "is empty: a designed voice is its description")
    return parsed


def parse_transcript(text: str | None, field: str = "reference_text") -> str | None:
    """Without surrounding spaces; None for a text with nothing in it. Raises InvalidRequestError."""
    parsed = _parse(field, text or "", MAX_TRANSCRIPT_CHARACTERS)
    return parsed if _is_visible(parsed) else None


def parse_languages(languages: Iterable[str]) -> tuple[str, ...]:
    """In lower case. Raises InvalidRequestError."""
    parsed = tuple(_parse("languages", language, MAX_LANGUAGE_CHARACTERS).lower() for language in languages)
    if len(parsed) > MAX_LANGUAGES or not all(parsed):
        raise InvalidRequestError("languages", f"must be at most {MAX_LANGUAGES} names, none of them empty")
    return parsed


def _is_visible(text: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in text)


def _parse(field: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise InvalidRequestError(field, f"has {len(text)} characters, at most {limit} are allowed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequestError(field, "contains lone surrogates") from None
    return text.strip()
