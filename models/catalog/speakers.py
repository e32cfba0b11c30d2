"""Languages and speakers of the published checkpoints, and of synthetic ones."""

from typing import Any

from models.request import Kind

Table = dict[str, Any]

# Places after the last code, as in the published codec vocabulary.
_LANGUAGES = {
    "chinese": 7,
    "english": 2,
    "german": 5,
    "italian": 22,
    "portuguese": 23,
    "spanish": 6,
    "japanese": 10,
    "korean": 16,
    "french": 13,
    "russian": 21,
}
_DIALECTS = {"beijing_dialect": 26, "sichuan_dialect": 14}
_SPEAKERS = {
    "serena": 1018,
    "vivian": 1017,
    "uncle_fu": 962,
    "ryan": 1013,
    "aiden": 813,
    "ono_anna": 825,
    "sohee": 816,
    "eric": 827,
    "dylan": 830,
}
_DIALECT_OF = {"eric": "sichuan_dialect", "dylan": "beijing_dialect"}


def speaker_tables(kind: Kind, codes: int) -> tuple[Table, Table, Table]:
    """Languages, speakers and the speakers' dialects: name -> codec token (or dialect)."""
    languages = {name: codes + place for name, place in _LANGUAGES.items()}
    if kind != "custom_voice":
        return languages, {}, {}
    languages.update((name, codes + place) for name, place in _DIALECTS.items())
    speakers = {name: codes + place for name, place in _SPEAKERS.items()}
    return languages, speakers, {name: _DIALECT_OF.get(name, False) for name in speakers}
