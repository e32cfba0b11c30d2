"""Descriptions of voices: sex, pitch and pace in many wordings, some of which are never trained on."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from training.teacher import SPEEDS, Level

Sex = Literal["male", "female"]
Wordings = Mapping[Level, tuple[str, ...]]

_PITCH_LEVELS: Mapping[Level, tuple[int, int]] = {
    "low": (0, 25),
    "middle": (40, 60),
    "high": (75, 99),
}  # of espeak-ng's; nothing is said of others

_NOUNS = {
    "male": ("man", "gentleman", "male speaker", "male narrator", "guy"),
    "female": ("woman", "lady", "female speaker", "female narrator", "girl"),
    None: ("narrator", "speaker", "reader", "person", "storyteller", "teacher", "sailor", "wizard", "assistant"),
}
_SEXES = {"male": "male", "female": "female", None: ""}
_PITCHES: Wordings = {
    "low": ("deep", "low", "low-pitched", "dark", "bass"),
    "middle": ("medium-pitched", "mid-range", "normally pitched"),
    "high": ("high", "bright", "high-pitched", "light", "shrill"),
}
_PACES: Wordings = {
    "low": ("slow", "calm", "unhurried", "leisurely", "relaxed"),
    "middle": ("moderate", "evenly paced", "steady"),
    "high": ("quick", "fast", "rapid", "brisk", "hurried"),
}
_MANNERS: Wordings = {
    "low": ("slowly", "calmly", "without any hurry", "at a slow pace", "patiently"),
    "middle": ("at a moderate pace", "at a normal speed", "steadily"),
    "high": ("quickly", "fast", "at a fast pace", "rapidly", "in a hurry"),
}
_TONES: Wordings = {
    "low": ("a deep voice", "a low voice", "a low pitch", "a deep tone"),
    "middle": ("a medium pitch", "a normal voice", "a mid-range voice"),
    "high": ("a high voice", "a bright voice", "a high pitch", "a light tone"),
}
_COLOURS = (  # which change nothing
    *(
        "clear",
        "professional",
        "friendly",
        "warm",
        "neutral",
        "pleasant",
        "old",
        "young",
        "gentle",
        "serious",
        "cheerful",
    ),
    *("wise", "mysterious", "tired", "soft", "strong", "elegant", "grumpy", "kind", "British", "American", "dramatic"),
)

_TRAINED = (
    "{a} {pitch} {pace} {sex} voice",
    "{a} {pace} {pitch} {sex} voice",
    "{a} {colour} {pitch} {pace} {sex} voice",
    "{a} {noun} with {tone} speaking {manner}",
    "{a} {noun} who speaks {manner} with {tone}",
    "{sex} voice, {pitch}, {pace}",
    "{noun}, {tone}, {manner}",
    "{a} {noun}'s voice: {pitch} and {pace}",
    "speak {manner} in {tone}, like {a} {noun}",
    "{a} {pitch} {noun} speaking {manner}",
    "{a} {pace} {noun} with {tone}",
    "{a} {colour} {noun} with {tone}, speaking {manner}",
)
_HELD_OUT = (
    "{a} {pitch}, {pace} {noun}'s voice",
    "the voice of {a} {noun}, {pitch}, talking {manner}",
    "{a} {colour} {sex} voice with {tone} that talks {manner}",
)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a description may say. None: nothing is said."""

    sex: Sex | None
    pitch: Level | None
    pace: Level | None


def _level(value: int, levels: Mapping[Level, tuple[int, int]]) -> Level | None:
    return next((level for level, (least, most) in levels.items() if least <= value <= most), None)


def traits_of(sex: str, pitch: int, speed: int) -> Traits:
    """From the teacher's settings."""
    return Traits("male" if sex == "male" else "female", _level(pitch, _PITCH_LEVELS), _level(speed, SPEEDS))


def describe(traits: Traits, generator: random.Random, held_out: bool = False) -> str:
    """A description in words. Those of `held_out` are put in ways that no other is."""

    def one_of(options: Wordings, level: Level | None) -> str:
        return "" if level is None else generator.choice(options[level])

    text = generator.choice(_HELD_OUT if held_out else _TRAINED).format(
        a="{a}",
        sex=_SEXES[traits.sex],
        noun=generator.choice(_NOUNS[traits.sex]),
        colour=generator.choice(_COLOURS),
        pitch=one_of(_PITCHES, traits.pitch),
        pace=one_of(_PACES, traits.pace),
        manner=one_of(_MANNERS, traits.pace) or "normally",
        tone=one_of(_TONES, traits.pitch) or "a plain voice",
    )
    return _finish(text, generator)


def _finish(text: str, generator: random.Random) -> str:
    """Without what empty parts left behind; the article fitting; sometimes a capital and a full stop."""
    words = text.replace(" ,", ",").split()
    words = [word for word in words if word != ","]
    for index, word in enumerate(words):
        if word == "{a}":
            words[index] = "an" if words[index + 1][0] in "aeiou" else "a"
    text = " ".join(words).strip(" ,")
    if generator.random() < 0.6:
        text = text[0].upper() + text[1:]
    return text + (generator.choice((".", "", "")))
