"""voice.json: written by this package alone and read strictly, because people edit files."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from models.errors import InvalidRequestError
from voices.errors import VoiceBrokenError, VoiceVersionError
from voices.name import parse_name, voice_id
from voices.text import parse_description, parse_languages, parse_transcript
from voices.voice import Reference, Voice
from voices.voice_folder import VoiceFolder

FORMAT_VERSION = 1
MAX_BYTES = 1 << 16

T = TypeVar("T")


def now() -> str:
    """The moment, as voice.json holds it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def dump_voice(voice: Voice) -> bytes:
    """voice.json of a cloned or designed voice."""
    values: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "id": voice.id,
        "name": voice.name,
        "kind": voice.kind,
        "description": voice.description,
        "languages": list(voice.languages),
        "created_at": voice.created_at,
    }
    if voice.reference is not None:
        reference = voice.reference
        values["reference"] = {"sha256": reference.sha256, "seconds": reference.seconds, "text": reference.text}
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def load_voice(folder: VoiceFolder, preset: bool = False) -> Voice:
    """The voice in `folder`. Raises VoiceBrokenError, which says what is wrong with it."""
    try:
        with folder.voice_file.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        voice = parse_voice(data)
    except FileNotFoundError:
        raise VoiceBrokenError(f"{folder.voice_file.name} is missing") from None
    except OSError as error:
        raise VoiceBrokenError(f"{folder.voice_file.name} cannot be read: {error.strerror}") from error
    if voice.id != folder.path.name:
        raise VoiceBrokenError(f"the voice in this folder has the id {voice.id!r}")
    if voice.kind == "cloned" and not os.path.isfile(folder.reference_file):
        raise VoiceBrokenError(f"{folder.reference_file.name} is missing")
    return replace(voice, preset=preset, folder=folder)


def parse_voice(data: bytes) -> Voice:
    """A Voice from the content of voice.json. Raises VoiceBrokenError."""
    if len(data) > MAX_BYTES:
        raise VoiceBrokenError("voice.json is too large")
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise VoiceBrokenError(f"voice.json is not JSON: {error}") from None
    try:
        return _voice(_Fields(values, "voice.json"))
    except InvalidRequestError as error:
        raise VoiceBrokenError(f"voice.json: {error}") from None


class _Fields:
    """A JSON object whose every key is taken exactly once."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise VoiceBrokenError(f"{where} is not an object")
        self._values: dict[str, Any] = dict(values)  # pyright: ignore[reportUnknownArgumentType]
        self._where = where

    def take(self, key: str, parse: Callable[[Any], T]) -> T:
        if key not in self._values:
            raise VoiceBrokenError(f"{self._where}: {key} is missing")
        try:
            return parse(self._values.pop(key))
        except (TypeError, ValueError, OverflowError) as error:
            raise VoiceBrokenError(f"{self._where}: {key} {error}") from None

    def finish(self) -> None:
        if self._values:
            raise VoiceBrokenError(f"{self._where}: unknown keys {', '.join(sorted(self._values))}")


def _voice(fields: _Fields) -> Voice:
    version = fields.take("version", _integer)
    if version != FORMAT_VERSION:
        age = "a newer" if version > FORMAT_VERSION else "an older"
        raise VoiceVersionError(
            f"{age} version of this program wrote it: voice.json has version {version}, this one reads {FORMAT_VERSION}"
        )
    kind = fields.take("kind", _string)
    if kind not in ("cloned", "designed"):
        raise VoiceBrokenError(f"voice.json: kind is {kind!r}")
    name = fields.take("name", lambda value: parse_name(_string(value), "name"))
    voice = Voice(
        id=fields.take("id", _string),
        name=name,
        kind=kind,
        description=fields.take(
            "description", lambda value: parse_description(_string(value), required=kind == "designed")
        ),
        languages=fields.take("languages", lambda value: parse_languages(_strings(value))),
        created_at=fields.take("created_at", _moment),
        reference=_reference(_Fields(fields.take("reference", _any), "reference")) if kind == "cloned" else None,
    )
    fields.finish()
    if voice.id != voice_id(name):
        raise VoiceBrokenError(f"voice.json: {voice.id!r} is not the id of {name!r}")
    return voice


def _reference(fields: _Fields) -> Reference:
    reference = Reference(
        sha256=fields.take("sha256", _string),
        seconds=fields.take("seconds", _number),
        text=fields.take("text", lambda value: None if value is None else parse_transcript(_string(value))),
    )
    fields.finish()
    return reference


def _any(value: Any) -> Any:
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"is {value!r}, expected a string")
    return value


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"is {value!r}, expected a list")
    return [_string(item) for item in value]  # pyright: ignore[reportUnknownVariableType]


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"is {value!r}, expected an integer")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"is {value!r}, expected a number")
    return float(value)


def _moment(value: Any) -> str:
    if datetime.fromisoformat(_string(value)).tzinfo is None:
        raise ValueError("has no time zone")
    return value
