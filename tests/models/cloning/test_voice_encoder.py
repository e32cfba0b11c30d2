"""Voices equal to upstream's `create_voice_clone_prompt` on the same samples."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import Kind, Samples
from models.checkpoint.checkpoint import open_checkpoint
from models.cloning.voice_encoder import VoiceEncoder
from models.engine.options import EngineOptions
from models.errors import CheckpointError, InvalidRequestError
from models.loading.model import Model
from models.reference_clip import end_in_silence
from models.upstream import import_upstream


@cache
def upstream(directory: Path) -> Any:
    torch.set_num_threads(1)
    return import_upstream().Qwen3TTSModel.from_pretrained(str(directory), dtype=torch.float32)


@pytest.fixture(scope="module")
def directory(tiny_checkpoint: Callable[[Kind], Path]) -> Path:
    return tiny_checkpoint("base")


@pytest.fixture(scope="module")
def encoder(directory: Path) -> VoiceEncoder:
    return VoiceEncoder(open_checkpoint(directory))


def voice(seconds: float, sample_rate: int, seed: int = 0) -> Samples:
    """Something like a voice: harmonics that glide, pauses, a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(110 + 60 * seed + 40 * np.sin(2 * np.pi * 0.7 * time + seed)) / sample_rate
    harmonics = sum(np.sin(number * phase) / number for number in range(1, 12))
    loudness = np.clip(np.sin(2 * np.pi * 2.3 * time), 0, 1)
    return (0.15 * loudness * harmonics + 0.003 * random.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [24000, 16000, 44100, 48000, 8000])
@pytest.mark.parametrize("seconds", [1.0, 3.217])
def test_equals_upstream(directory: Path, encoder: VoiceEncoder, seconds: float, sample_rate: int) -> None:
    samples = voice(seconds, sample_rate)
    [expected] = upstream(directory).create_voice_clone_prompt((samples, sample_rate), "some words")
    prompt = encoder.encode(samples, sample_rate, "some words")
    assert prompt.is_icl
    assert prompt.reference_text == "some words"
    assert prompt.reference_codes is not None
    assert prompt.reference_codes.dtype == np.int64
    assert np.array_equal(prompt.reference_codes, expected.ref_code.numpy())
    assert prompt.speaker_embedding.dtype == np.float32
    np.testing.assert_allclose(prompt.speaker_embedding, expected.ref_spk_embedding.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_last_frame_is_upstreams(directory: Path, encoder: VoiceEncoder, extra: int) -> None:
    samples = voice(2.0, 24000)[: 1920 * 20 + extra]
    [expected] = upstream(directory).create_voice_clone_prompt((samples, 24000), "some words")
    codes = encoder.encode(samples, 24000, "some words").reference_codes
    assert codes is not None
    assert np.array_equal(codes, expected.ref_code.numpy())
    assert len(codes) == (21 if extra > 0 else 20)


def test_pieces_are_the_whole(encoder: VoiceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = voice(2.345, 24000)
    expected = encoder.encode(samples, 24000, "words").reference_codes
    assert expected is not None
    for piece in (1, 3, 1000):
        monkeypatch.setattr("models.cloning.codec_encoder._PIECE", piece)
        codes = encoder.encode(samples, 24000, "words").reference_codes
        assert codes is not None
        assert np.array_equal(expected, codes)


def test_without_text_it_is_an_x_vector_clone(directory: Path, encoder: VoiceEncoder) -> None:
    samples = voice(1.5, 22050)
    [expected] = upstream(directory).create_voice_clone_prompt((samples, 22050), None, x_vector_only_mode=True)
    prompt = encoder.encode(samples, 22050, None)
    assert not prompt.is_icl
    assert prompt.reference_codes is None
    np.testing.assert_allclose(prompt.speaker_embedding, expected.ref_spk_embedding.numpy(), rtol=1e-6, atol=1e-6)


def test_voices_differ(encoder: VoiceEncoder) -> None:
    first, second = (encoder.encode(voice(1.5, 24000, seed), 24000, "words") for seed in (1, 2))
    distance = np.linalg.norm(first.speaker_embedding - second.speaker_embedding)
    assert distance > 0.02 * np.linalg.norm(first.speaker_embedding)
    assert first.reference_codes is not None
    assert second.reference_codes is not None
    assert (first.reference_codes != second.reference_codes).mean() > 0.3
    assert all(len(np.unique(group)) > 1 for group in first.reference_codes.T)


@pytest.mark.parametrize(
    ("samples", "sample_rate", "text", "field"),
    [
        (np.zeros(0, dtype=np.float32), 24000, None, "samples"),
        (np.zeros(300, dtype=np.float32), 24000, None, "samples"),
        (np.zeros((24000, 2), dtype=np.float32), 24000, None, "samples"),
        (np.zeros(24000, dtype=np.int16), 24000, None, "samples"),
        (np.full(24000, np.nan, dtype=np.float32), 24000, None, "samples"),
        (np.zeros(24000, dtype=np.float32), 0, None, "sample_rate"),
        (np.zeros(24000, dtype=np.float32), -24000, None, "sample_rate"),
        (np.zeros(24000, dtype=np.float32), 24000, "  ", "text"),
    ],
)
def test_bad_input_names_its_field(
    encoder: VoiceEncoder, samples: Any, sample_rate: int, text: str | None, field: str
) -> None:
    with pytest.raises(InvalidRequestError) as error:
        encoder.encode(samples, sample_rate, text)
    assert error.value.field == field


def test_other_kinds_cannot_clone(tiny_checkpoint: Callable[[Kind], Path]) -> None:
    with pytest.raises(InvalidRequestError, match="voice_design"):
        VoiceEncoder(open_checkpoint(tiny_checkpoint("voice_design")))


def test_damaged_encoder_is_an_error(directory: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(directory, damaged)
    path = damaged / "speech_tokenizer" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="speech_tokenizer"):
        VoiceEncoder(open_checkpoint(damaged))


def test_cloning_imports_nothing_of_upstream(directory: Path) -> None:
    code = (
        "import sys, numpy; from models.checkpoint.checkpoint import open_checkpoint;"
        "from models.cloning.voice_encoder import VoiceEncoder;"
        "samples = numpy.full(48000, 0.1, dtype='float32');"
        "VoiceEncoder(open_checkpoint(sys.argv[1])).encode(samples, 16000, 'words');"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, str(directory)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not {"transformers", "qwen_tts", "librosa", "bitsandbytes"} & set(result.stdout.split())


@pytest.mark.parametrize("sample_rate", [24000, 16000, 44100])
@pytest.mark.parametrize("text", ["some words", None])
def test_a_voice_is_made_of_a_clip_that_ends_in_silence(
    directory: Path, encoder: VoiceEncoder, sample_rate: int, text: str | None
) -> None:
    """An engine does it, and not twice where it has been done."""
    samples = voice(2.0, sample_rate)
    ended = np.concatenate([samples, np.zeros(sample_rate // 2, np.float32)])
    expected = encoder.encode(ended, sample_rate, text)
    model = Model.load(directory, "fp32", EngineOptions(slots=1))
    for clip in (samples, ended):
        prompt = model.encode_voice(clip, sample_rate, text)
        assert np.array_equal(prompt.speaker_embedding, expected.speaker_embedding)
        assert (prompt.reference_codes is None) == (expected.reference_codes is None) == (text is None)
        if prompt.reference_codes is not None and expected.reference_codes is not None:
            assert np.array_equal(prompt.reference_codes, expected.reference_codes)
    for bad in (samples[:10], np.zeros((2, sample_rate), np.float32), np.full(sample_rate, np.nan, np.float32)):
        with pytest.raises(InvalidRequestError, match="samples"):
            model.encode_voice(bad, sample_rate, text)


def test_silence_is_what_the_clips_own_loudness_says() -> None:
    hum = np.sin(np.arange(48_000) * 2 * np.pi * 220 / 24_000).astype(np.float32)
    hiss = (0.005 * np.random.default_rng(1).standard_normal(12_000)).astype(np.float32)
    assert len(end_in_silence(np.concatenate([0.9 * hum, hiss]), 24_000)) == 60_000
    assert len(end_in_silence(np.concatenate([0.1 * hum, hiss]), 24_000)) == 72_000
    assert len(end_in_silence(np.concatenate([0.9 * hum, hiss[:6_000]]), 24_000)) == 66_000
    assert len(end_in_silence(np.zeros(2_400, np.float32), 24_000)) == 14_400, "shorter than the silence it needs"
