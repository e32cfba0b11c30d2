"""Names of voices and the ids derived from them.

A name is what a person types: up to 100 characters, no slashes, no control characters, case-insensitive. An id is a
safe folder name and a function of the name alone, so equal names meet at the same folder and looking up a name or an
id is the same single step. Nothing but an id ever becomes part of a path.
"""

import hashlib
import re
import unicodedata

from voices.errors import VoiceNameError

MAX_NAME_CHARACTERS = 100
MAX_SLUG_CHARACTERS = 40
DIGEST_CHARACTERS = 12

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_-]*")
_FORBIDDEN_CATEGORIES = {"Cc": "control characters", "Cs": "surrogates", "Zl": "line breaks", "Zp": "line breaks"}


def parse_name(name: str, field: str = "voice_name") -> str:
    """`name` in the form in which it is kept: without surrounding spaces, in Unicode's composed form (NFC).

    Raises VoiceNameError, which names `field`, for a name outside the grammar.
    """
    if len(name) > MAX_NAME_CHARACTERS:
        raise VoiceNameError(field, f"has {len(name)} characters, at most {MAX_NAME_CHARACTERS} are allowed")
    for character in name:
        if character in "/\\":
            raise VoiceNameError(field, "must not contain slashes or backslashes")
        if complaint := _FORBIDDEN_CATEGORIES.get(unicodedata.category(character)):
            raise VoiceNameError(field, f"must not contain {complaint}")
    parsed = unicodedata.normalize("NFC", name).strip()
    if len(parsed) > MAX_NAME_CHARACTERS:  # a few characters compose to more than they were
        raise VoiceNameError(field, f"has more than {MAX_NAME_CHARACTERS} characters")
    if not any(character.isprintable() and not character.isspace() for character in parsed):
        raise VoiceNameError(field, "is empty")
    if parsed in (".", ".."):
        raise VoiceNameError(field, f"must not be {parsed!r}")
    return parsed


def caseless(name: str) -> str:
    """Two names are the same voice when these agree (Unicode's canonical caseless match, D145)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def voice_id(name: str) -> str:
    """The id of a parsed name: itself where it is plain, otherwise a readable slug and a digest.

    `voice_id(voice_id(name)) == voice_id(name)`: an id can be looked up as if it were a name.
    """
    folded = caseless(name)
    if _PLAIN.fullmatch(folded):
        return folded
    letters = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode("ascii").lower()
    slug = re.sub(r"[^a-z0-9]+", "-", letters)[:MAX_SLUG_CHARACTERS].strip("-") or "voice"
    return f"{slug}-{hashlib.sha256(folded.encode('utf-8')).hexdigest()[:DIGEST_CHARACTERS]}"
