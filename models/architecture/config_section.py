"""A JSON object of a checkpoint's config files: typed reading whose errors name the key and the place."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from models.errors import CheckpointError

T = TypeVar("T")


class ConfigSection:
    """One JSON object of a config file; a missing or mistyped key is an error that names it."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def get(self, key: str, kind: type[T]) -> T:
        value: object = self.values.get(key)
        if kind is float and isinstance(value, int):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise CheckpointError(f"{self.where}: {key} is {value!r}, expected {kind.__name__}")
        return cast(T, value)

    def section(self, key: str) -> "ConfigSection":
        return ConfigSection(cast(dict[str, Any], self.get(key, dict)), f"{self.where}: {key}")

    def ints(self, key: str) -> tuple[int, ...]:
        values = cast(list[object], self.get(key, list))
        numbers = tuple(value for value in values if isinstance(value, int))
        if len(numbers) != len(values):
            raise CheckpointError(f"{self.where}: {key} is {values!r}, expected whole numbers")
        return numbers

    def require(self, key: str, *allowed: object) -> None:
        """For settings that published checkpoints share and this code relies on."""
        if self.values.get(key) not in allowed:
            raise CheckpointError(f"{self.where}: {key} is {self.values.get(key)!r}, only {allowed} is supported")


def read_config(path: Path) -> ConfigSection:
    """The JSON object in `path`. Raises CheckpointError when there is none."""
    try:
        values: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return ConfigSection(cast(dict[str, Any], values), str(path))
