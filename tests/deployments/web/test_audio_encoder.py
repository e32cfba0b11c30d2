import asyncio
import io
import time
import tracemalloc
import wave
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile

from deployments.web import audio_encoder
from deployments.web.audio_encoder import MP3_COMPRESSION, Correction, make_encoder, to_int16, wav_header
from deployments.web.encoding import ENCODING_THREADS, encoded_file
from deployments.web.schemas import AudioFormat
from models import Samples


def encode_whole(audio_format: AudioFormat, pieces: Sequence[Samples]) -> bytes:
    async def come_in() -> AsyncIterator[Samples]:
        for piece in pieces:
            yield piece

    return bytes(asyncio.run(encoded_file(come_in(), make_encoder(audio_format, 24_000))))


def noise(seconds: int) -> list[Samples]:
    samples = np.random.default_rng(0).normal(0, 0.1, 24_000 * seconds).astype(np.float32)
    return np.split(samples, 10 * seconds)


def test_loud_samples_are_clipped_and_not_wrapped() -> None:
    samples = np.array([0.0, 1.0, -1.0, 1.5, -1.5, 40.0], dtype=np.float32)
    assert np.frombuffer(to_int16(samples), "<i2").tolist() == [0, 32767, -32767, 32767, -32768, 32767]


def test_a_whole_wav_is_read_back_exactly() -> None:
    pieces = [np.linspace(-1, 1, count, dtype=np.float32) for count in (1920, 0, 7)]
    with wave.open(io.BytesIO(encode_whole("wav", pieces))) as file:
        assert file.getnframes() == 1927
        assert file.readframes(1927) == to_int16(np.concatenate(pieces))


def test_a_streamed_header_is_44_bytes_and_knows_no_size() -> None:
    header = wav_header(24_000, None)
    assert len(header) == 44
    assert header[4:8] == header[40:44] == b"\xff\xff\xff\xff"


@pytest.mark.parametrize("audio_format", ["wav", "pcm"])
def test_a_stream_is_the_whole_but_for_the_sizes(audio_format: AudioFormat) -> None:
    pieces = [np.full(1920, level, dtype=np.float32) for level in (0.1, -0.2, 0.3)]
    encoder = make_encoder(audio_format, 24_000)
    streamed = b"".join(encoder.encode(piece) for piece in pieces) + encoder.finish()
    whole = encode_whole(audio_format, pieces)
    header = 44 if audio_format == "wav" else 0
    assert streamed[header:] == whole[header:]
    assert len(streamed) == len(whole)


@pytest.mark.parametrize("audio_format", ["mp3", "flac", "opus"])
def test_compressed_streams_give_bytes_before_their_end(audio_format: AudioFormat) -> None:
    encoder = make_encoder(audio_format, 24_000)
    early = b"".join(encoder.encode(piece) for piece in noise(3)[:15])
    assert len(early) > 1000


@pytest.mark.parametrize("audio_format", ["mp3", "flac"])
def test_a_whole_file_is_what_libsndfile_writes_into_a_file(audio_format: AudioFormat) -> None:
    mp3 = {"subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": MP3_COMPRESSION}
    settings: dict[str, Any] = mp3 if audio_format == "mp3" else {"subtype": "PCM_16"}
    expected = io.BytesIO()
    with soundfile.SoundFile(expected, "w", 24_000, 1, format=audio_format.upper(), **settings) as file:
        for piece in noise(3):
            file.write(piece)
    assert encode_whole(audio_format, noise(3)) == expected.getvalue()


def test_a_whole_opus_file_holds_all_samples() -> None:
    samples, rate = soundfile.read(io.BytesIO(encode_whole("opus", noise(3))))
    assert (len(samples), rate) == (3 * 24_000, 24_000)


@pytest.mark.parametrize("audio_format", ["mp3", "flac", "opus"])
def test_a_stream_keeps_nothing_that_has_been_sent(audio_format: AudioFormat) -> None:
    encoder = make_encoder(audio_format, 24_000)
    pieces = noise(60)
    sent = 0
    tracemalloc.start()
    try:
        for piece in pieces:
            sent += len(encoder.encode(piece))
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    assert sent > 150_000
    ours = [tracemalloc.Filter(True, audio_encoder.__file__)]  # threads of other tests may be at work still
    kept = sum(trace.size for trace in snapshot.filter_traces(ours).traces)
    assert kept < 50_000


def test_a_stream_of_nothing_is_still_a_file() -> None:
    assert len(make_encoder("wav", 24_000).finish()) == 44
    assert len(encode_whole("wav", [])) == 44


class SlowEncoder:
    """Notes down whose piece was encoded."""

    takes_long: ClassVar[bool] = True

    def __init__(self, name: str, done: list[str]) -> None:
        self._name = name
        self._done = done

    def encode(self, samples: Samples) -> bytes:
        time.sleep(0.002)
        self._done.append(self._name)
        return bytes(len(samples))

    def finish(self) -> bytes:
        return b""

    def corrections(self) -> Sequence[Correction]:
        return ()


def test_long_files_leave_the_threads_to_a_stream_after_a_piece_each() -> None:
    done: list[str] = []

    async def come_in(pieces: int) -> AsyncIterator[Samples]:
        for _ in range(pieces):
            yield np.zeros(1, dtype=np.float32)

    async def beside_files() -> int:
        files = [asyncio.ensure_future(encoded_file(come_in(50), SlowEncoder("file", done))) for _ in range(8)]
        await asyncio.sleep(0.02)
        before = len(done)
        await encoded_file(come_in(1), SlowEncoder("stream", done))
        assert not any(file.done() for file in files)
        between = done.index("stream") - before
        await asyncio.gather(*files)
        return between

    assert asyncio.run(beside_files()) <= 8 + ENCODING_THREADS
