"""Clips decoded in a process of their own: what a clip does to it is nobody else's loss."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from models import Samples
from tests.voices.helpers import AsAudio
from voices import ReferenceAudioError, clip_decoder, decoder_process, read_reference_audio
from voices.clip_decoder import ClipDecoder

# A decoder like the real one, but for what it does with some clips.
HOSTILE = """
import os, sys, time
from voices import decoder_process
decoder_process.CPU_SECONDS = 1
honest = decoder_process.read_reference_audio
def read(clip):
    if clip == b"crash":
        os.abort()
    if clip == b"greed":
        bytearray(decoder_process.MEMORY_BYTES + (32 << 20))
    if clip == b"exit":
        os._exit(0)
    if clip == b"hang":
        time.sleep(60)
    if clip == b"spin":
        while True: pass
    if clip == b"write":
        open(sys.argv[1], "wb", 0).write(b"x")
    return honest(clip)
decoder_process.read_reference_audio = read
decoder_process.main()
"""


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., ClipDecoder]]:
    """A decoder over the hostile process or, with `honest`, the real one."""
    made: list[ClipDecoder] = []

    def start(honest: bool = False, **limits: float) -> ClipDecoder:
        if not honest:
            command = (sys.executable, "-c", HOSTILE, str(tmp_path / "written"))
            monkeypatch.setattr(clip_decoder, "_COMMAND", command)
        made.append(ClipDecoder(**limits))
        return made[-1]

    yield start
    for decoder in made:
        decoder.close()


def refusal(decoder: ClipDecoder, clip: bytes) -> str:
    with pytest.raises(ReferenceAudioError) as refused:
        decoder.read(clip, "ref_audio")
    assert refused.value.field == "ref_audio"
    return refused.value.message


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_it_hears_what_this_process_would(
    make: Callable[..., ClipDecoder], speech: Samples, as_audio: AsAudio, form: str
) -> None:
    clip = as_audio(speech, 16_000, form=form)
    decoder = make(honest=True)
    for _ in range(2):
        heard = decoder.read(clip)
        expected = read_reference_audio(clip)
        np.testing.assert_array_equal(heard.samples, expected.samples)
        assert heard.sample_rate == expected.sample_rate
        assert heard.samples.dtype == np.float32


def test_a_refusal_is_the_same_too(make: Callable[..., ClipDecoder], speech: Samples, as_audio: AsAudio) -> None:
    decoder = make(honest=True)
    for clip in (b"", b"junk", as_audio(speech[:5000]), as_audio(speech)[:5000], as_audio(speech * 0)):
        with pytest.raises(ReferenceAudioError) as expected:
            read_reference_audio(clip, "ref_audio")
        assert refusal(decoder, clip) == expected.value.message


@pytest.mark.parametrize(
    ("clip", "reason"), [(b"crash", "broke down"), (b"exit", "broke down"), (b"hang", "longer"), (b"spin", "longer")]
)
def test_a_clip_that_ends_the_process_costs_itself_alone(
    make: Callable[..., ClipDecoder], clip: bytes, reason: str, as_audio: AsAudio, speech: Samples
) -> None:
    decoder = make(decode_s=30.0 if clip == b"spin" else 1.0)
    honest = as_audio(speech)
    before = decoder.read(honest).samples
    first = decoder.process_id
    began = time.monotonic()
    assert reason in refusal(decoder, clip)
    assert time.monotonic() - began < 20
    np.testing.assert_array_equal(decoder.read(honest).samples, before)
    assert first != decoder.process_id


def with_chunks(header: bytes, name: bytes, size: int) -> bytes:
    return header + name * ((16 << 20) // size)


@pytest.mark.parametrize(
    "clip",
    [
        with_chunks(b"FORM\x01\x00\x00\x00AIFF", b"junk\0\0\0\0", 8),
        with_chunks(b"caff\0\1\0\0desc" + (32).to_bytes(8, "big") + bytes(32), b"free" + bytes(8), 12),
        with_chunks(b"RIFF\xff\xff\xff\xffWAVE", b"fmt \x10\0\0\0" + bytes(16), 24),
        b"\xff\xfb\x90\x00" * (4 << 20),
    ],
    ids=["aiff", "caf", "wav", "mp3"],
)
def test_sixteen_mebibytes_of_anything_are_refused_in_time(make: Callable[..., ClipDecoder], clip: bytes) -> None:
    decoder = make(honest=True)
    decoder.read(read_preset())
    began = time.process_time()
    assert refusal(decoder, clip).startswith(("undecodable", "too short", "silent"))
    assert time.process_time() - began < 1.0  # of this process's time
    decoder.read(read_preset())


def read_preset() -> bytes:
    return (Path(clip_decoder.__file__).parent / "presets" / "narrator_cloned" / "reference.flac").read_bytes()


def test_memory_is_limited_and_nothing_can_be_written(make: Callable[..., ClipDecoder], tmp_path: Path) -> None:
    decoder = make()
    decoder.read(read_preset())
    process = decoder.process_id
    assert "memory" in refusal(decoder, b"greed")
    decoder.read(read_preset())
    assert decoder.process_id == process
    assert "broke down" in refusal(decoder, b"write")
    assert (tmp_path / "written").read_bytes() == b""


def test_it_leaves_when_it_has_nothing_to_do(make: Callable[..., ClipDecoder]) -> None:
    decoder = make(honest=True, idle_s=0.3)
    assert decoder.process_id is None
    decoder.read(read_preset())
    first = decoder.process_id
    assert first is not None
    decoder.read(read_preset())
    assert decoder.process_id == first
    until = time.monotonic() + 20
    while Path(f"/proc/{first}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert decoder.process_id is None
    decoder.read(read_preset())


def test_one_that_was_killed_while_idle_is_replaced(make: Callable[..., ClipDecoder]) -> None:
    decoder = make(honest=True)
    decoder.read(read_preset())
    assert decoder.process_id is not None
    os.kill(decoder.process_id, 9)
    os.waitid(os.P_PID, decoder.process_id, os.WEXITED | os.WNOWAIT)  # with all its threads, and is not reaped by this
    decoder.read(read_preset())


def test_it_takes_clips_from_many_threads(make: Callable[..., ClipDecoder], as_audio: AsAudio, speech: Samples) -> None:
    decoder = make(honest=True)
    clips = [as_audio(speech[: 24_000 + 4_000 * index], subtype="FLOAT") for index in range(8)]
    heard: dict[int, Samples] = {}

    def read(index: int) -> None:
        heard[index] = decoder.read(clips[index]).samples

    threads = [threading.Thread(target=read, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for index, clip in enumerate(clips):
        np.testing.assert_array_equal(heard[index], read_reference_audio(clip).samples)


def test_one_that_cannot_be_started_is_no_fault_of_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_decoder, "_COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(RuntimeError, match="at its start: 3"):
        ClipDecoder().read(read_preset())


def test_the_process_is_light() -> None:
    heavy = "torch transformers ray fastapi pydantic safetensors.torch"
    program = f"import sys; import {decoder_process.__name__}; found = set('{heavy}'.split()) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{program}; assert not found, found"], check=True)
