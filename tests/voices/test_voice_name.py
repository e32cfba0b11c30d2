"""The grammar of names and the ids derived from them."""

import re
import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from voices import VoiceNameError
from voices.name import MAX_NAME_CHARACTERS, caseless, parse_name, voice_id

anything = st.text(max_size=120)
id_grammar = re.compile(r"[a-z0-9_][a-z0-9_-]{0,99}")


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\t",
        ".",
        "..",
        " .. ",
        "a/b",
        "/",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\x1bb",
        "a\u2028b",
        "\u200b",
        "a\ud800",
        "x" * 101,
    ],
)
def test_names_outside_the_grammar_are_refused(name: str) -> None:
    with pytest.raises(VoiceNameError) as caught:
        parse_name(name, "name")
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("Anna", "anna"),
        ("narrator_cloned", "narrator_cloned"),
        ("x" * 100, "x" * 100),
        ("Anna Smith", "anna-smith-"),
        ("José", "jose-"),
        ("北京", "voice-"),
        ("...", "voice-"),
        ("-rf", "rf-"),
        ("v1.2", "v1-2-"),
    ],
)
def test_ids_are_readable(name: str, identity: str) -> None:
    found = voice_id(parse_name(name))
    assert found == identity or re.fullmatch(re.escape(identity) + "[0-9a-f]{12}", found)


@pytest.mark.parametrize(
    ("first", "second"), [("ANNA", "anna"), ("Straße", "STRASSE"), ("e\u0301", "É"), (" a b ", "A B")]
)
def test_case_and_composition_do_not_tell_names_apart(first: str, second: str) -> None:
    assert voice_id(parse_name(first)) == voice_id(parse_name(second))


@given(anything)
@example("..")
@example("a" * 100)
@example("İ" * 100)
@example("\u1e9b\u0323")
def test_an_id_is_always_a_safe_folder_name(name: str) -> None:
    try:
        parsed = parse_name(name)
    except VoiceNameError:
        return
    identity = voice_id(parsed)
    assert id_grammar.fullmatch(identity)
    assert voice_id(identity) == identity
    assert parse_name(identity) == identity
    assert len(parsed) <= MAX_NAME_CHARACTERS


@given(anything)
def test_parsing_is_stable_and_refuses_what_the_contract_refuses(name: str) -> None:
    try:
        parsed = parse_name(name)
    except VoiceNameError:
        return
    assert parse_name(parsed) == parsed
    assert parsed.strip() not in ("", ".", "..")
    assert not set("/\\\0") & set(parsed)
    assert not any(unicodedata.category(character) == "Cc" for character in parsed)


@given(anything, anything)
def test_different_names_have_different_ids(first: str, second: str) -> None:
    try:
        names = [parse_name(first), parse_name(second)]
    except VoiceNameError:
        return
    folded = {caseless(name) for name in names}
    assume(not folded & {voice_id(name) for name in names if voice_id(name) != caseless(name)})
    assert len({voice_id(name) for name in names}) == len(folded)
