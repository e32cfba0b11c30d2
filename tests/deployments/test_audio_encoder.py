import io
import wave

import numpy as np
import pytest

from deployments.audio_encoder import encode_whole, make_encoder, to_int16, wav_header
from deployments.schemas import AudioFormat


def test_loud_samples_are_clipped_and_not_wrapped() -> None:
    samples = np.array([0.0, 1.0, -1.0, 1.5, -1.5, 40.0], dtype=np.float32)
    assert np.frombuffer(to_int16(samples), "<i2").tolist() == [0, 32767, -32767, 32767, -32768, 32767]


def test_a_whole_wav_is_read_back_exactly() -> None:
    pieces = [np.linspace(-1, 1, count, dtype=np.float32) for count in (1920, 0, 7)]
    with wave.open(io.BytesIO(encode_whole("wav", 24_000, pieces))) as file:
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
    whole = encode_whole(audio_format, 24_000, pieces)
    header = 44 if audio_format == "wav" else 0
    assert streamed[header:] == whole[header:]
    assert len(streamed) == len(whole)


@pytest.mark.parametrize("audio_format", ["mp3", "flac", "opus"])
def test_compressed_streams_give_bytes_before_their_end(audio_format: AudioFormat) -> None:
    encoder = make_encoder(audio_format, 24_000)
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000 * 3).astype(np.float32)
    early = b"".join(encoder.encode(piece) for piece in np.split(noise, 30)[:15])
    assert len(early) > 1000


def test_a_stream_of_nothing_is_still_a_file() -> None:
    assert len(make_encoder("wav", 24_000).finish()) == 44
    assert len(encode_whole("wav", 24_000, [])) == 44
