"""Creating, finding, speaking with and deleting voices."""

import json
import logging
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import Samples, VoicePrompt
from models.errors import InvalidRequestError
from tests.voices.helpers import AsAudio, FakeEncoder, assert_same_prompt
from voices import (
    BrokenVoice,
    ReferenceAudioError,
    Voice,
    VoiceBrokenError,
    VoiceExistsError,
    VoiceLibrary,
    VoiceNameError,
    VoiceNotFoundError,
    VoiceReadOnlyError,
    VoiceStorageError,
    VoiceVersionError,
)
from voices import library as library_module
from voices.durable import LOCK_FILE
from voices.voice import MAX_CONDITIONINGS
from voices.voice_folder import VoiceFolder

KEY = "0b6-1234abcd"
TEXT = "The river runs quietly."


def folder_of(voice: Voice) -> Path:
    assert voice.folder is not None
    return voice.folder.path


def contents(directory: Path) -> dict[str, bytes]:
    """Every file, but the one that is only there to be locked."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != LOCK_FILE]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def no_encode(*_: object) -> VoicePrompt:
    raise AssertionError("nothing was to be encoded")


def test_a_cloned_voice(library: VoiceLibrary, clip: bytes, speech: Samples, encode: FakeEncoder) -> None:
    voice = library.create_cloned("Anna", clip, f" {TEXT} ", encode, KEY, "my aunt", ["English"])
    assert encode.calls == [(len(speech) + 12_000, 24_000, TEXT)]
    assert (voice.id, voice.name, voice.kind, voice.mode) == ("anna", "Anna", "cloned", "icl")
    assert (voice.description, voice.languages, voice.preset, voice.speaker) == ("my aunt", ("english",), False, None)
    assert voice.created_at is not None
    assert datetime.fromisoformat(voice.created_at).tzinfo is not None
    assert voice.reference is not None
    assert voice.reference.seconds == 3.5
    assert library.get("anna") == voice
    assert voice in library.list()
    np.testing.assert_allclose(voice.reference_audio().samples[: len(speech)], speech, atol=1 / 32768)


def test_conditioning_is_stored_with_the_voice(library: VoiceLibrary, clip: bytes, encode: FakeEncoder) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    prompt = library.get("Anna").prompt(KEY, no_encode)
    assert prompt.is_icl
    samples, rate = voice.reference_audio()
    assert_same_prompt(prompt, FakeEncoder()(samples, rate, TEXT))
    assert all(name.endswith((".json", ".flac", ".safetensors")) for name in contents(folder_of(voice)))


@pytest.mark.parametrize("text", [None, "", "  \n", "\u200b"])
def test_without_a_transcript_it_is_an_x_vector_clone(
    library: VoiceLibrary, clip: bytes, encode: FakeEncoder, text: str | None
) -> None:
    voice = library.create_cloned("Anna", clip, text, encode, KEY)
    assert voice.mode == "x_vector"
    assert encode.calls[0][2] is None
    assert not library.get("anna").prompt(KEY, no_encode).is_icl


def test_another_model_makes_its_own_conditioning(library: VoiceLibrary, clip: bytes, encode: FakeEncoder) -> None:
    library.create_cloned("Anna", clip, TEXT, encode, KEY)
    other = FakeEncoder()
    prompt = library.get("anna").prompt("1b7-other", other)
    assert other.calls == encode.calls
    assert_same_prompt(library.get("anna").prompt("1b7-other", no_encode), prompt)
    library.get("anna").prompt(KEY, no_encode)


def test_any_key_is_safe(library: VoiceLibrary, tmp_path: Path, encode: FakeEncoder, clip: bytes) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, "../../../etc/passwd")
    for key in ("", ".", "A", "a", "x" * 1000, "\0", "北京"):
        calls = len(encode.calls)
        voice.prompt(key, encode)
        voice.prompt(key, encode)
        assert len(encode.calls) == calls + 1
    outside = [path for path in tmp_path.rglob("*.safetensors") if path.parent != folder_of(voice) / "conditioning"]
    assert not outside


def test_damaged_conditioning_is_made_again(
    library: VoiceLibrary, clip: bytes, encode: FakeEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    (file,) = (folder_of(voice) / "conditioning").iterdir()
    original = file.read_bytes()
    expected = voice.prompt(KEY, no_encode)
    for damage in (b"", original[:100], original[:-1], b"\xff" * 200, original.replace(b"I64", b"F64")):
        file.write_bytes(damage)
        again = FakeEncoder()
        with caplog.at_level(logging.WARNING):
            assert_same_prompt(voice.prompt(KEY, again), expected)
        assert len(again.calls) == 1
        assert "made again" in caplog.text
        assert_same_prompt(voice.prompt(KEY, no_encode), expected)


def test_conditioning_of_another_clip_or_transcript_is_not_used(
    library: VoiceLibrary, clip: bytes, speech: Samples, as_audio: AsAudio, encode: FakeEncoder
) -> None:
    old = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    stale = old.prompt(KEY, no_encode)
    library.delete("anna")
    new = library.create_cloned("Anna", as_audio(speech[::-1]), TEXT, encode, KEY)
    old.store_prompt(KEY, stale)  # a slow writer comes late
    assert new.stored_prompt(KEY) is None
    file = folder_of(new) / "voice.json"
    file.write_text(file.read_text().replace(TEXT, "Corrected."))
    assert library.get("anna").prompt(KEY, encode).reference_text == "Corrected."


def test_many_threads_encode_once(library: VoiceLibrary) -> None:
    encode = FakeEncoder()
    voice = library.get("narrator_cloned")
    prompts: list[VoicePrompt] = []
    threads = [threading.Thread(target=lambda: prompts.append(voice.prompt(KEY, encode))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(encode.calls) == 1
    assert len(prompts) == 8


def test_a_designed_voice(library: VoiceLibrary) -> None:
    voice = library.create_designed("Old Man", " A deep voice ", ["english", "German"])
    assert (voice.kind, voice.description, voice.languages, voice.mode) == (
        "designed",
        "A deep voice",
        ("english", "german"),
        None,
    )
    assert library.get("OLD MAN") == library.get(voice.id) == voice
    for use in (lambda: voice.prompt(KEY, no_encode), voice.reference_audio, lambda: voice.stored_prompt(KEY)):
        with pytest.raises(InvalidRequestError, match="designed voice"):
            use()


def test_a_built_in_speaker() -> None:
    voice = Voice.builtin("Vivian", ("chinese",))
    assert (voice.id, voice.name, voice.kind, voice.speaker) == ("vivian", "Vivian", "builtin", "Vivian")
    assert (voice.languages, voice.mode, voice.created_at) == (("chinese",), None, None)
    with pytest.raises(InvalidRequestError, match="builtin voice"):
        voice.prompt(KEY, no_encode)


def test_voices_can_cross_processes(library: VoiceLibrary, clip: bytes, encode: FakeEncoder) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    copy = pickle.loads(pickle.dumps(voice))
    assert_same_prompt(copy.prompt(KEY, no_encode), voice.prompt(KEY, no_encode))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../../etc", "a\0", "x" * 101])
def test_bad_names(library: VoiceLibrary, clip: bytes, tmp_path: Path, name: str) -> None:
    before = contents(tmp_path)
    with pytest.raises(VoiceNameError):
        library.create_cloned(name, clip, TEXT, no_encode, KEY)
    with pytest.raises(VoiceNameError):
        library.create_designed(name, "A voice")
    for lookup in (library.get, library.delete):
        with pytest.raises(VoiceNotFoundError):
            lookup(name)
    assert contents(tmp_path) == before


def test_bad_fields_change_nothing(library: VoiceLibrary, clip: bytes, tmp_path: Path) -> None:
    before = contents(tmp_path)
    with pytest.raises(ReferenceAudioError) as caught:
        library.create_cloned("Anna", b"junk", TEXT, no_encode, KEY, audio_field="wav_b64")
    assert caught.value.field == "wav_b64"
    for field, options in (
        ("reference_text", {"text": "x" * 2001}),
        ("reference_text", {"text": "\ud800"}),
        ("description", {"description": "x" * 2001}),
        ("languages", {"languages": ["english", ""]}),
    ):
        arguments: dict[str, Any] = {"text": TEXT, "encode": no_encode, "model_size": KEY, **options}
        with pytest.raises(InvalidRequestError) as refused:
            library.create_cloned("Anna", clip, **arguments)
        assert refused.value.field == field
    with pytest.raises(InvalidRequestError) as refused:
        library.create_designed("Anna", " ")
    assert refused.value.field == "description"
    assert contents(tmp_path) == before


def test_an_encoder_that_fails_changes_nothing(library: VoiceLibrary, clip: bytes, tmp_path: Path) -> None:
    before = contents(tmp_path)

    def fail(*_: object) -> VoicePrompt:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        library.create_cloned("Anna", clip, TEXT, fail, KEY)
    assert contents(tmp_path) == before
    with pytest.raises(VoiceNotFoundError):
        library.get("Anna")


@pytest.mark.parametrize("name", ["Anna", "ANNA", "narrator_cloned", "Narrator_Designed"])
def test_names_are_taken_once(library: VoiceLibrary, clip: bytes, encode: FakeEncoder, name: str) -> None:
    library.create_cloned("anna", clip, TEXT, encode, KEY)
    with pytest.raises(VoiceExistsError, match=name):
        library.create_cloned(name, b"not even decoded", TEXT, no_encode, KEY)
    with pytest.raises(VoiceExistsError, match=name):
        library.create_designed(name, "A voice")


def test_delete(library: VoiceLibrary, clip: bytes, encode: FakeEncoder, tmp_path: Path) -> None:
    before = contents(tmp_path)
    voice = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    library.delete("ANNA")
    assert contents(tmp_path) == before
    for lookup in (library.get, library.delete):
        with pytest.raises(VoiceNotFoundError, match="Anna"):
            lookup("Anna")
    with pytest.raises(VoiceNotFoundError, match="deleted"):
        voice.prompt(KEY, encode)
    library.create_designed("Anna", "Another voice")


def test_conditioning_does_not_bring_a_deleted_voice_back(
    library: VoiceLibrary, clip: bytes, encode: FakeEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    prompt = voice.prompt(KEY, no_encode)
    library.delete("Anna")
    voice.store_prompt(KEY, prompt)
    assert not folder_of(voice).exists()
    assert "could not be stored" in caplog.text


@pytest.mark.parametrize("name", ["narrator_cloned", "NARRATOR_designed"])
def test_presets_cannot_be_deleted(library: VoiceLibrary, name: str) -> None:
    with pytest.raises(VoiceReadOnlyError, match="shipped"):
        library.delete(name)
    assert library.get(name).preset


def breakages() -> dict[str, Callable[[Path], object]]:
    def edit(**changes: object) -> Callable[[Path], object]:
        def apply(folder: Path) -> None:
            file = folder / "voice.json"
            values = json.loads(file.read_text()) | changes
            file.write_text(json.dumps({key: value for key, value in values.items() if value != "REMOVED"}))

        return apply

    return {
        "voice.json is missing": lambda folder: (folder / "voice.json").unlink(),
        "reference.flac is missing": lambda folder: (folder / "reference.flac").unlink(),
        "voice.json is not JSON": lambda folder: (folder / "voice.json").write_bytes(b'{"version": 1'),
        "is not JSON": lambda folder: (folder / "voice.json").write_bytes(b"\xff\xfe\x00"),
        "not JSON": lambda folder: (folder / "voice.json").write_bytes(b"[" * 60_000),
        "too large": lambda folder: (folder / "voice.json").write_bytes(b" " * 70_000),
        "is not an object": lambda folder: (folder / "voice.json").write_bytes(b"[]"),
        "unknown keys extra": edit(extra=1),
        "created_at is missing": edit(created_at="REMOVED"),
        "created_at has no time zone": edit(created_at="2025-01-01T00:00:00"),
        "created_at Invalid": edit(created_at="yesterday"),
        "version is True": edit(version=True),
        "kind is 'builtin'": edit(kind="builtin"),
        "kind is 1": edit(kind=1),
        "has the id 'berta'": edit(id="berta", name="Berta"),
        "is not the id": edit(name="Berta"),
        "slashes": edit(name="../anna"),
        "languages is 'english'": edit(languages="english"),
        "expected a string": edit(languages=[1]),
        "reference is missing": edit(reference="REMOVED"),
        "reference is not an object": edit(reference=None),
        "seconds is 'x'": edit(reference={"sha256": "", "seconds": "x", "text": None}),
        "seconds int too large": edit(reference={"sha256": "", "seconds": 10**400, "text": None}),
        "unknown keys file": edit(reference={"sha256": "", "seconds": 1, "text": None, "file": "/etc/passwd"}),
    }


@pytest.mark.parametrize("reason", breakages())
def test_broken_voices_are_in_nobodys_way(library: VoiceLibrary, clip: bytes, encode: FakeEncoder, reason: str) -> None:
    good = library.create_designed("Good", "A voice")
    broken = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    breakages()[reason](folder_of(broken))
    assert [voice.id for voice in library.list()] == ["narrator_cloned", "narrator_designed", "good"]
    (found,) = library.broken()
    assert found.id == "anna"
    assert reason in found.reason
    assert library.get("good") == good
    with pytest.raises(VoiceBrokenError, match="'anna' is damaged"):
        library.get("Anna")
    with pytest.raises(VoiceExistsError):
        library.create_designed("Anna", "Another")
    library.delete("Anna")
    assert library.broken() == ()
    library.create_designed("Anna", "Another")


def test_changed_audio_is_noticed(library: VoiceLibrary, clip: bytes, encode: FakeEncoder) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    file = folder_of(voice) / "reference.flac"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(VoiceBrokenError, match="reference audio"):
        library.get("anna").prompt("another model", encode)


def test_what_is_no_voice_is_left_alone(library: VoiceLibrary, tmp_path: Path) -> None:
    (tmp_path / "voices" / "notes").write_text("mine")
    (tmp_path / "voices" / ".git").mkdir()
    (tmp_path / "voices" / "Not An Id").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "voices" / "link").symlink_to(tmp_path / "elsewhere")
    assert library.broken() == (BrokenVoice("Not An Id", "voice.json is missing"),)
    with pytest.raises(VoiceNotFoundError):
        library.delete("link")
    with pytest.raises(VoiceExistsError):
        library.create_designed("notes", "A voice")
    assert sorted(path.name for path in (tmp_path / "voices").iterdir()) == [
        ".git",
        LOCK_FILE,
        "Not An Id",
        "link",
        "notes",
    ]


def test_a_users_voice_goes_before_a_shipped_one_of_a_later_version(tmp_path: Path, library: VoiceLibrary) -> None:
    library.create_designed("Storyteller", "The user's")
    (tmp_path / "voices" / "storyteller").rename(tmp_path / "kept")
    newer = tmp_path / "package" / "storyteller"
    newer.mkdir(parents=True)
    shipped = json.loads((tmp_path / "kept" / "voice.json").read_text()) | {"description": "The package's"}
    (newer / "voice.json").write_text(json.dumps(shipped))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voices.library.PRESETS", newer.parent)
        library = VoiceLibrary(tmp_path / "voices")
        assert library.get("storyteller").description == "The package's"
        (tmp_path / "kept").rename(tmp_path / "voices" / "storyteller")
        assert library.get("storyteller").description == "The user's"
        assert [voice.description for voice in library.list()] == ["The user's"]
        assert library.broken() == ()
        with pytest.raises(VoiceExistsError):
            library.create_designed("Storyteller", "Another")
        library.delete("storyteller")
        assert library.get("storyteller").preset
        with pytest.raises(VoiceReadOnlyError):
            library.delete("storyteller")


def test_a_damaged_voice_is_not_spoken_by_the_shipped_one_of_its_name(library: VoiceLibrary, tmp_path: Path) -> None:
    (tmp_path / "voices" / "narrator_cloned").mkdir()
    with pytest.raises(VoiceBrokenError, match=r"voice\.json is missing"):
        library.get("narrator_cloned")
    assert "narrator_cloned" not in [voice.id for voice in library.list()]
    assert library.broken() == (BrokenVoice("narrator_cloned", "voice.json is missing"),)
    library.delete("narrator_cloned")
    assert library.get("narrator_cloned").preset


@pytest.mark.parametrize(("version", "age"), [(2, "a newer"), (0, "an older")])
def test_a_voice_of_another_version_is_not_called_damaged(
    library: VoiceLibrary, clip: bytes, encode: FakeEncoder, version: int, age: str
) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    file = folder_of(voice) / "voice.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"version": version, "mood": "calm"}))
    with pytest.raises(VoiceVersionError) as refused:
        library.get("Anna")
    assert f"{age} version" in str(refused.value)
    assert "damaged" not in str(refused.value)
    (found,) = library.broken()
    assert f"{age} version of this program wrote it" in found.reason
    file.write_text(json.dumps(values))
    assert library.get("Anna") == voice


def test_a_listing_is_of_one_moment(library: VoiceLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A voice that breaks while the list is made is in one half of it: each folder is looked at once."""
    library.create_designed("Anna", "A voice")
    looked: list[str] = []
    load = library_module.load_voice

    def spy(folder: VoiceFolder, preset: bool = False) -> Voice:
        looked.append(folder.path.name)
        return load(folder, preset)

    monkeypatch.setattr(library_module, "load_voice", spy)
    listing = library.listing()
    assert looked == ["anna"]
    assert [voice.id for voice in listing.voices] == ["narrator_cloned", "narrator_designed", "anna"]
    assert listing.broken == ()


def test_conditioning_that_nobody_can_use_any_more_is_dropped(
    library: VoiceLibrary, clip: bytes, encode: FakeEncoder
) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    folder = folder_of(voice) / "conditioning"
    (folder / "damaged.safetensors").write_bytes(b"junk")
    (file,) = [path for path in folder.iterdir() if path.name != "damaged.safetensors"]
    voice.prompt("another", encode)
    assert sorted(path.name[:7] for path in folder.iterdir()) == ["0b6-123", "another"]
    described = folder_of(voice) / "voice.json"
    described.write_text(described.read_text().replace(TEXT, "Corrected."))
    corrected = library.get("anna")
    corrected.prompt("another", encode)
    assert not file.exists()
    assert len(list(folder.iterdir())) == 1


def test_conditioning_of_weights_that_were_replaced_does_not_pile_up(
    library: VoiceLibrary, clip: bytes, encode: FakeEncoder
) -> None:
    voice = library.create_cloned("Anna", clip, TEXT, encode, "weights 0")
    folder = folder_of(voice) / "conditioning"
    for number in range(1, MAX_CONDITIONINGS + 3):
        for path in folder.iterdir():
            age = number - int(path.name.split("-")[1])
            os.utime(path, (1000 - age, 1000 - age))
        voice.prompt(f"weights {number}", encode)
    kept = {path.name[:9] for path in folder.iterdir()}
    assert kept == {f"weights-{number}" for number in range(3, MAX_CONDITIONINGS + 3)}
    voice.prompt(f"weights {MAX_CONDITIONINGS}", no_encode)


def test_clips_are_encoded_beside_each_other(library: VoiceLibrary, clip: bytes, encode: FakeEncoder) -> None:
    """Nobody waits for the model of somebody else's voice."""
    anna = library.create_cloned("Anna", clip, TEXT, encode, KEY)
    both = threading.Barrier(2)

    def meet(samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        both.wait(20)
        return FakeEncoder()(samples, sample_rate, text)

    threads = [
        threading.Thread(target=voice.prompt, args=("another", meet))
        for voice in (anna, library.get("narrator_cloned"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not both.broken
    assert anna.prompt("another", no_encode).is_icl


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    VoiceLibrary(tmp_path / "new" / "voices")
    assert stat.S_IMODE((tmp_path / "new" / "voices").stat().st_mode) == 0o700
    (tmp_path / "shared").mkdir(mode=0o750)
    VoiceLibrary(tmp_path / "shared")
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o750  # as whoever made it wanted it


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VoiceStorageError, match="cannot be opened"):
        VoiceLibrary(tmp_path / "file")


def test_a_second_library_sees_the_same(library: VoiceLibrary, tmp_path: Path) -> None:
    other = VoiceLibrary(tmp_path / "voices")
    voice = library.create_designed("Anna", "A voice")
    assert other.get("anna") == voice
    other.delete("anna")
    assert voice not in library.list()


printable = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(max_size=110),
    text=printable,
    description=printable,
    languages=st.lists(st.text(max_size=10), max_size=3),
)
def test_round_trip(clip: bytes, name: str, text: str, description: str, languages: list[str]) -> None:
    """Whatever is accepted comes back as it was kept; whatever is refused leaves nothing."""
    with tempfile.TemporaryDirectory() as directory:
        library = VoiceLibrary(directory)
        try:
            voice = library.create_cloned(name, clip, text, FakeEncoder(), KEY, description, languages)
        except (InvalidRequestError, VoiceExistsError):  # the latter for the names of shipped voices
            assert contents(Path(directory)) == {}
            return
        assert library.broken() == ()
        for key in (voice.id, voice.name, name, name.upper(), name.casefold()):
            if len(key) <= 100:
                assert VoiceLibrary(directory).get(key) == voice
        assert library.get(voice.id).prompt(KEY, no_encode).reference_text == (
            text.strip() if voice.mode == "icl" else None
        )
        library.delete(name)
        assert contents(Path(directory)) == {}


def test_the_package_is_light() -> None:
    heavy = "torch transformers qwen_tts bitsandbytes ray fastapi pydantic"
    program = f"import sys, voices; found = set('{heavy}'.split()) & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", program], check=True)
