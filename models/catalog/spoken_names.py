"""What a checkpoint's languages and speakers are called, from its configuration alone. Needs no torch."""

from pathlib import Path
from typing import NamedTuple, cast

from models.architecture import read_config, read_table, spoken_languages
from models.catalog.shipped_voice import DESIGN_CONFIG, SHIPPED_VOICE, is_shipped
from models.catalog.speakers import speaker_tables
from models.errors import CheckpointError
from models.request import Kind


class SpokenNames(NamedTuple):
    """Names that a request may use."""

    languages: tuple[str, ...]  # "auto" among them
    speakers: tuple[str, ...]


def read_names(spec: str) -> SpokenNames | None:
    """The names of the checkpoint `spec` (as `models.load_engine` takes it), of which nothing is loaded, made or
    downloaded for this. None where it is not here yet or cannot be read: loading it tells why."""
    if spec.startswith("embedded:"):
        return _embedded_names(cast(Kind, spec.removeprefix("embedded:")))
    if spec.startswith("hub:"):
        from models.catalog.hub import cached_file

        config = cached_file(spec.removeprefix("hub:"), "config.json")
    else:
        config = Path(spec) / "config.json"
    return None if config is None else _read(config)


def _embedded_names(kind: Kind) -> SpokenNames | None:
    if is_shipped(kind):
        return _read(SHIPPED_VOICE / (DESIGN_CONFIG if kind == "voice_design" else "config.json"))
    languages, speakers, _ = speaker_tables(kind, 0)
    return SpokenNames(spoken_languages(languages), tuple(speakers))


def _read(config: Path) -> SpokenNames | None:
    try:
        talker = read_config(config).section("talker_config")
    except CheckpointError:
        return None
    return SpokenNames(spoken_languages(read_table(talker, "codec_language_id")), tuple(read_table(talker, "spk_id")))
