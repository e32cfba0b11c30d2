"""Samples equal upstream's decoder in float32, whole and in every chunking."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import Codes, Samples
from models.checkpoint.checkpoint import open_checkpoint
from models.codec.codec import Primer
from models.codec.decoder import CodecDecoder
from models.codec.slots import TorchCodec
from tests.parity.conftest import SHAPES
from tests.parity.upstream_reference import Upstream

FRAMES = 60
BOUND = 1e-4  # of the peak


def _slots(directory: Path, slots: int) -> tuple[TorchCodec, CodecDecoder]:
    checkpoint = open_checkpoint(directory)

    def decoder() -> CodecDecoder:
        return CodecDecoder(checkpoint.architecture.codec, checkpoint.speech_tokenizer.tensor, torch.float32)

    made = decoder()
    return TorchCodec(made, decoder, slots), made


def _codes(directory: Path, seed: int = 0) -> Codes:
    dimensions = open_checkpoint(directory).architecture.codec
    return np.random.default_rng(seed).integers(0, dimensions.codebook_size, (FRAMES, dimensions.code_groups))


def _assert_close(samples: Samples, expected: Samples) -> None:
    peak = np.abs(expected).max()
    assert 0.1 < peak <= 1.0, "a silent or clipped reference would prove little"
    assert np.abs(samples - expected).max() <= BOUND * peak


def _decode(codec: TorchCodec, slot: int, codes: Codes, lengths: list[int]) -> Samples:
    """Decode in chunks of the given lengths, again and again."""
    codec.clear(slot)
    chunks: list[Samples] = []
    start = 0
    while start < len(codes):
        end = start + lengths[len(chunks) % len(lengths)]
        chunks.append(codec.decode([slot], torch.from_numpy(codes[start:end])[None])[0].numpy())
        start = end
    return np.concatenate(chunks)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lengths", [[FRAMES], [1], [3, 1, 7]])
def test_streamed_samples_equal_upstreams(
    shape: str, lengths: list[int], checkpoint: Callable[..., Path], upstream: Callable[[Path], Upstream]
) -> None:
    directory = checkpoint(shape, "base")
    codes = _codes(directory)
    codec, _ = _slots(directory, 2)
    _assert_close(_decode(codec, 1, codes, lengths), upstream(directory).samples(codes))


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_any_chunking_gives_the_same_samples(
    lengths: list[int], checkpoint: Callable[..., Path], upstream: Callable[[Path], Upstream]
) -> None:
    directory = checkpoint("odd", "base")
    codes = _codes(directory)
    codec, _ = _slots(directory, 1)
    _assert_close(_decode(codec, 0, codes, lengths), upstream(directory).samples(codes))


@pytest.mark.parametrize("clip", [1, 5, 40])
def test_primed_with_a_clip_equals_upstreams_cut(
    clip: int, checkpoint: Callable[..., Path], upstream: Callable[[Path], Upstream]
) -> None:
    """Upstream decodes an ICL clone together with its reference and cuts the reference off."""
    directory = checkpoint("tiny", "base")
    codes = _codes(directory)
    codec, _ = _slots(directory, 1)
    primer = Primer(codec, open_checkpoint(directory).architecture.codec, rows=7)
    primed = 0
    while primed < clip:
        primed = primer.advance(0, codes[:clip], primed)
    samples = codec.decode([0], torch.from_numpy(codes[clip:])[None])[0].numpy()
    expected = upstream(directory).samples(codes)
    _assert_close(samples, expected[clip * 1920 :])


def test_sequences_decoded_together_are_as_apart(checkpoint: Callable[..., Path]) -> None:
    directory = checkpoint("tiny", "base")
    many = np.stack([_codes(directory, seed) for seed in range(3)])
    codec, decoder = _slots(directory, 4)
    together = [codec.decode([3, 0, 2], torch.from_numpy(many[:, i : i + 20])) for i in range(0, FRAMES, 20)]
    for row, samples in enumerate(torch.cat(together, dim=1).numpy()):
        alone = decoder.decode(torch.from_numpy(many[row])[None], decoder.fresh(1), torch.zeros(1, dtype=torch.int64))
        _assert_close(samples, alone[0].clamp(-1, 1).numpy())


def test_a_chunk_that_overflows_is_decoded_again_in_float32(checkpoint: Callable[..., Path]) -> None:
    directory = checkpoint("tiny", "base")
    tensors = open_checkpoint(directory)
    dimensions = tensors.architecture.codec

    def poisoned(name: str) -> torch.Tensor:
        tensor = tensors.speech_tokenizer.tensor(name).clone()
        return tensor.fill_(torch.inf) if name == "decoder.decoder.0.conv.bias" else tensor

    wide = CodecDecoder(dimensions, tensors.speech_tokenizer.tensor, torch.float32)
    codec = TorchCodec(CodecDecoder(dimensions, poisoned, torch.bfloat16), lambda: wide, slots=1)
    codes = torch.from_numpy(_codes(directory))[None]
    samples = codec.decode([0], codes)
    assert codec.decoded_again == 1
    expected = wide.decode(codes, wide.fresh(1), torch.zeros(1, dtype=torch.int64)).clamp(-1, 1)
    _assert_close(samples[0].numpy(), expected[0].numpy())
