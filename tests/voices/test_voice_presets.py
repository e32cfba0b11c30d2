"""The shipped voices, and the recipe that made them."""

import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from tests.voices.helpers import FakeEncoder, assert_same_prompt
from voices import VoiceLibrary, make_presets, read_reference_audio
from voices.library import PRESETS


def test_the_cloned_narrator(library: VoiceLibrary) -> None:
    voice = library.get("Narrator_Cloned")
    assert (voice.kind, voice.mode, voice.preset) == ("cloned", "icl", True)
    assert voice.reference is not None
    assert voice.reference.text == make_presets.TRANSCRIPT
    assert 3 < voice.reference.seconds < 12
    file = PRESETS / "narrator_cloned" / "reference.flac"
    assert file.stat().st_size < 200_000
    kept = read_reference_audio(file.read_bytes()).samples
    np.testing.assert_array_equal(kept, voice.reference_audio().samples)  # passes every check, ends in silence


def test_the_designed_narrator(library: VoiceLibrary) -> None:
    voice = library.get("narrator_designed")
    assert (voice.kind, voice.mode, voice.preset) == ("designed", None, True)
    assert voice.description == "A clear, professional narrator voice"


def test_they_come_first(library: VoiceLibrary) -> None:
    library.create_designed("aaa", "A voice")
    assert [voice.id for voice in library.list()] == ["narrator_cloned", "narrator_designed", "aaa"]


def test_their_conditioning_is_kept_outside_the_package(library: VoiceLibrary, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in PRESETS.rglob("*")}
    encode = FakeEncoder()
    prompt = library.get("narrator_cloned").prompt("0b6", encode)
    assert_same_prompt(VoiceLibrary(tmp_path / "voices").get("narrator_cloned").prompt("0b6", encode), prompt)
    assert len(encode.calls) == 1
    assert {path: path.stat().st_mtime_ns for path in PRESETS.rglob("*")} == before
    assert library.broken() == ()


def test_a_read_only_library_still_speaks(
    library: VoiceLibrary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "voices" / ".presets").write_text("in the way")
    voice = library.get("narrator_cloned")
    assert voice.prompt("0b6", FakeEncoder()).is_icl
    assert "could not be stored" in caplog.text


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="the recipe needs espeak-ng")
def test_the_recipe(tmp_path: Path) -> None:
    make_presets.main([str(tmp_path)])
    make_presets.main([str(tmp_path)])  # over what is there
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {str(path.relative_to(PRESETS)) for path in PRESETS.rglob("*") if path.is_file()}
    designed = "narrator_designed/voice.json"
    assert (tmp_path / designed).read_bytes() == (PRESETS / designed).read_bytes()
    clip = read_reference_audio((tmp_path / "narrator_cloned" / "reference.flac").read_bytes()).samples
    assert 3 < len(clip) / 24_000 < 12
    assert stat.S_IMODE((tmp_path / "narrator_cloned").stat().st_mode) == stat.S_IMODE(
        (PRESETS / "narrator_cloned").stat().st_mode
    )
