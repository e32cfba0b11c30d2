"""What becomes of a reference clip, and what is refused."""

import io
import shutil
import struct
import subprocess
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import Samples
from models.errors import InvalidRequestError
from tests.voices.helpers import AsAudio
from voices import ReferenceAudioError, read_reference_audio
from voices.reference_audio import decode_flac, encode_flac

HALF_SECOND = 12_000


def refusal(audio: bytes) -> str:
    with pytest.raises(ReferenceAudioError) as caught:
        read_reference_audio(audio, "ref_audio")
    assert isinstance(caught.value, InvalidRequestError)
    assert caught.value.field == "ref_audio"
    return caught.value.message


def tone(seconds: float, rate: int = 24_000, amplitude: float = 0.3) -> Samples:
    return (amplitude * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 220 / rate)).astype(np.float32)


def with_field(wav: bytes, offset: int, form: str, value: int) -> bytes:
    changed = bytearray(wav)
    struct.pack_into(form, changed, offset, value)
    return bytes(changed)


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"form": "WAV", "subtype": "PCM_16"}, 0.01),
        ({"form": "WAV", "subtype": "FLOAT"}, 0.01),
        ({"form": "FLAC"}, 0.01),
        ({"form": "AIFF"}, 0.01),
        ({"form": "OGG", "subtype": "VORBIS"}, 0.1),
        ({"form": "MP3"}, 0.1),
    ],
)
def test_formats_and_rates(
    speech: Samples, as_audio: AsAudio, rate: int, options: dict[str, str], tolerance: float
) -> None:
    samples, sample_rate = read_reference_audio(as_audio(speech, rate, **options))
    assert sample_rate == 24_000
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(len(samples) - len(speech) - HALF_SECOND) <= 24_000 // 100
    if rate >= 22_050:
        expected = np.pad(speech, (0, max(0, len(samples) - len(speech))))[: len(samples)]
        assert np.sqrt(np.mean((samples - expected) ** 2)) < tolerance * np.sqrt(np.mean(expected**2)) * 2


@pytest.mark.parametrize("channels", [2, 6, 32])
def test_channels_are_averaged(speech: Samples, as_audio: AsAudio, channels: int) -> None:
    weights = np.linspace(0.0, 1.0, channels, dtype=np.float32)
    samples, _ = read_reference_audio(as_audio(speech[:, None] * weights, subtype="FLOAT"))
    np.testing.assert_allclose(samples[: len(speech)], speech * weights.mean(), atol=1e-6)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg writes files as a pipe leaves them")
@pytest.mark.parametrize("options", ["-f wav", "-f flac", "-f mp3", "-f ogg -c:a libopus", "-f wav -c:a pcm_mulaw"])
def test_files_written_to_a_pipe(clip: bytes, speech: Samples, options: str) -> None:
    """Their headers declare no length or a wrong one, and cannot help it."""
    command = ["ffmpeg", "-v", "error", "-f", "wav", "-i", "-", *options.split(), "-"]
    piped = subprocess.run(command, input=clip, capture_output=True, check=True).stdout
    samples, _ = read_reference_audio(piped)
    assert len(speech) - 2400 < len(samples) - HALF_SECOND < len(speech) + 2400


@pytest.mark.parametrize("seconds", [1.0, 30.0])
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_the_limits_are_included(seconds: float, rate: int) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(seconds, rate), rate, format="WAV")
    samples, _ = read_reference_audio(buffer.getvalue())
    assert len(samples) == seconds * 24_000 + HALF_SECOND


@pytest.mark.parametrize(
    ("seconds", "reason"), [(0.1, "too short"), (0.99, "too short"), (30.01, "too long"), (90.0, "too long")]
)
@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_duration(as_audio: AsAudio, seconds: float, reason: str, form: str) -> None:
    assert refusal(as_audio(tone(seconds), form=form)).startswith(reason)


def test_a_file_without_samples(as_audio: AsAudio) -> None:
    assert refusal(as_audio(tone(0.0))).startswith("too short: 0.00 s")


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(48_000, np.float32),
        np.full(48_000, 0.5, np.float32),
        tone(2.0, amplitude=0.001),
        np.stack([tone(2.0), -tone(2.0)], axis=1),
    ],
    ids=["zeros", "constant", "faint", "channels that cancel"],
)
def test_silence(as_audio: AsAudio, samples: Samples) -> None:
    assert refusal(as_audio(samples)).startswith("silent")


def test_a_quiet_clip_is_not_silent(speech: Samples, as_audio: AsAudio) -> None:
    read_reference_audio(as_audio(speech / np.abs(speech).max() * 0.02))


@pytest.mark.parametrize("options", [{"subtype": "PCM_16"}, {"subtype": "FLOAT"}, {"form": "FLAC"}])
def test_clipping(speech: Samples, as_audio: AsAudio, options: dict[str, str]) -> None:
    loud = speech / np.abs(speech).max()
    read_reference_audio(as_audio(loud, **options))
    assert refusal(as_audio(np.clip(loud * 4, -1, 1), **options)).startswith("clipped")


def test_clipping_is_counted_over_the_whole_clip(as_audio: AsAudio) -> None:
    """Long clips and those of many channels are decoded piece by piece."""
    samples = np.repeat(tone(2.0)[:, None], 32, axis=1)
    samples[:1000] = 1.0
    assert refusal(as_audio(samples)).startswith("clipped: 2.1%")


def test_overshoot_is_scaled_back(speech: Samples, as_audio: AsAudio) -> None:
    loud = speech / np.abs(speech).max() * 1.01
    samples, _ = read_reference_audio(as_audio(loud, subtype="FLOAT"))
    assert np.abs(samples).max() == pytest.approx(1.0)
    np.testing.assert_allclose(samples[: len(loud)], loud / 1.01, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(as_audio: AsAudio, value: float) -> None:
    samples = tone(2.0)
    samples[1234] = value
    assert "finite" in refusal(as_audio(samples, subtype="FLOAT"))


@pytest.mark.parametrize(
    "audio", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"hello" * 1000, b"fLaC" + bytes(100), b"OggS" + bytes(100)]
)
def test_bytes_that_are_no_audio(audio: bytes) -> None:
    assert refusal(audio).startswith("undecodable")


@pytest.mark.parametrize(
    ("offset", "form", "value"),
    [
        (40, "<I", 0x7FFFFFFF),
        (40, "<I", 0xFFFFFFFE),
        (40, "<I", 2 * 48_000 + 2),
        (4, "<I", 0x7FFFFFFF),
        (4, "<I", 0),
        (4, "<I", 1000),
        (22, "<H", 0),
        (22, "<H", 1024),
        (22, "<H", 65535),
        (24, "<I", 0),
        (24, "<I", 0xFFFFFFFF),
        (32, "<H", 7),
        (34, "<H", 24),
        (16, "<I", 0x7FFFFFFF),
        (16, "<I", 2),
    ],
)
def test_a_wav_header_that_lies(as_audio: AsAudio, offset: int, form: str, value: int) -> None:
    lying = with_field(as_audio(tone(2.0)), offset, form, value)
    started = time.perf_counter()
    tracemalloc.start()
    try:
        assert refusal(lying).startswith("undecodable")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 0.1


@pytest.mark.parametrize("after_the_audio", [False, True])
def test_a_wav_of_empty_chunks_costs_nothing(as_audio: AsAudio, after_the_audio: bool) -> None:
    """Sixteen MiB hold two million of them."""
    clip = as_audio(tone(2.0))
    chunks = b"junk\0\0\0\0" * (1 << 21)
    wav = clip + chunks if after_the_audio else clip[:12] + chunks + clip[12:]
    wav = with_field(wav, 4, "<I", len(wav) - 8)
    started = time.perf_counter()
    tracemalloc.start()
    try:
        assert "chunks" in refusal(wav)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 0.1


def test_a_wav_of_several_chunks_is_an_ordinary_one(as_audio: AsAudio) -> None:
    clip = as_audio(tone(2.0))
    wav = clip[:12] + b"LIST\4\0\0\0INFO" * 20 + clip[12:] + b"junk\0\0\0\0" * 20
    assert len(read_reference_audio(with_field(wav, 4, "<I", len(wav) - 8)).samples) == 48_000 + HALF_SECOND


def test_a_truncated_file(as_audio: AsAudio, speech: Samples) -> None:
    for form in ("WAV", "FLAC"):
        audio = as_audio(speech, form=form)
        assert refusal(audio[: len(audio) * 2 // 3]).startswith("undecodable")


def test_a_streamed_wav_is_read_to_its_end(clip: bytes, speech: Samples) -> None:
    streamed = with_field(with_field(clip, 4, "<I", 0xFFFFFFFF), 40, "<I", 0xFFFFFFFF)
    samples, _ = read_reference_audio(streamed)
    assert len(samples) == len(speech) + HALF_SECOND


def test_a_flac_header_that_lies(as_audio: AsAudio) -> None:
    """36 bits of STREAMINFO declare the number of samples; a lie must not be allocated."""
    flac = bytearray(as_audio(tone(2.0), form="FLAC"))
    flac[21] |= 0x0F
    flac[22:26] = b"\xff\xff\xff\xff"
    tracemalloc.start()
    try:
        assert refusal(bytes(flac)).startswith("undecodable")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_long_file_is_not_decoded_to_its_end() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((8_000 * 3600, 1), np.int16), 8_000, format="FLAC")
    tracemalloc.start()
    try:
        assert refusal(buffer.getvalue()).startswith("too long")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_silence_is_appended_once(speech: Samples, as_audio: AsAudio) -> None:
    first, _ = read_reference_audio(as_audio(speech, subtype="FLOAT"))
    np.testing.assert_array_equal(first[: len(speech)], speech)
    assert len(first) == len(speech) + HALF_SECOND
    assert not first[len(speech) :].any()
    second, _ = read_reference_audio(as_audio(first, subtype="FLOAT"))
    np.testing.assert_array_equal(first, second)


def test_the_hiss_of_a_room_is_silence(as_audio: AsAudio) -> None:
    hiss = np.random.default_rng(0).standard_normal(24_000).astype(np.float32) * 0.002
    clip = np.concatenate([tone(2.0), hiss[:HALF_SECOND]])
    assert len(read_reference_audio(as_audio(clip)).samples) == len(clip)
    short = np.concatenate([tone(2.0), hiss[: HALF_SECOND // 2]])
    assert len(read_reference_audio(as_audio(short)).samples) == len(short) + HALF_SECOND


def test_what_is_kept_is_exact_after_the_first_rounding(speech: Samples) -> None:
    kept = decode_flac(encode_flac(speech))
    assert np.abs(kept - speech).max() <= 0.5 / 32768
    np.testing.assert_array_equal(decode_flac(encode_flac(kept)), kept)
    extremes = np.array([1.0, -1.0, 0.0] * 400, np.float32)
    assert np.abs(decode_flac(encode_flac(extremes)) - extremes).max() <= 1 / 32768


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_never_escape_as_another_error(data: st.DataObject, as_audio: AsAudio) -> None:
    form = data.draw(st.sampled_from(["WAV", "FLAC", "OGG", "AIFF", "AU", "CAF", "W64", "RF64"]))
    audio = bytearray(as_audio(tone(1.5), 8_000, form=form))
    for _ in range(data.draw(st.integers(1, 4))):
        audio[data.draw(st.integers(0, 120))] = data.draw(st.integers(0, 255))
    try:
        samples, rate = read_reference_audio(bytes(audio))
    except ReferenceAudioError:
        return
    assert rate == 24_000
    assert np.isfinite(samples).all()
    assert 24_000 <= len(samples) <= 30.5 * 24_000 + 1
    assert np.abs(samples).max() <= 1
