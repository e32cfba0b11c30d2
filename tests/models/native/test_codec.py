"""The native codec decoder against the torch reference, streamed in every way."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from models.architecture.precision import Precision
from models.architecture.speaking import CodecDecoderDimensions
from models.architecture.tensors import codec_decoder_tensors
from models.catalog.shapes import TINY
from models.codec.codec import context_frames
from models.codec.decoder import CodecDecoder
from models.native import Kernels, NativeCodec, NativeError, PackedCodec, pack_codec, supports_codec
from models.synthetic.weights import random_tensor
from tests.models.native.reference_stack import INSTRUCTIONS, needs_native, relative_error

pytestmark = needs_native

DIMENSIONS = replace(TINY.codec, decoder=256, head_dim=32, window=9)
WIDE = replace(
    DIMENSIONS, decoder=512, upsample_rates=(5, 3, 2), upsampling_ratios=(2,), kv_heads=2, layers=3, latent=96
)

# Largest difference of a sample from the reference's in float32, by the reference's peak. bf16: eight bits for weights
# and, where the processor multiplies them, for activations.
BOUNDS: dict[Precision, float] = {"fp32": 5e-6, "bf16": 0.03}


@cache
def packed(dims: CodecDecoderDimensions, precision: Precision) -> PackedCodec:
    return PackedCodec(dims, precision, dict(pack_codec(dims, lambda name: tensor(dims, name), precision)))


@cache
def tensor(dims: CodecDecoderDimensions, name: str) -> Tensor:
    return random_tensor(name, codec_decoder_tensors(dims)[name], 0, torch.float32)


def native(
    precision: Precision = "fp32", instructions: str | None = None, threads: int = 2, slots: int = 4
) -> NativeCodec:
    return NativeCodec(packed(DIMENSIONS, precision), slots, 64, Kernels(instructions, threads))


def random_codes(sequences: int, frames: int, dims: CodecDecoderDimensions = DIMENSIONS) -> Tensor:
    return torch.randint(0, dims.codebook_size, (sequences, frames, dims.code_groups))


def expected_samples(codes: Tensor, dims: CodecDecoderDimensions = DIMENSIONS) -> Tensor:
    reference = CodecDecoder(dims, lambda name: tensor(dims, name), torch.float32)
    samples = reference.decode(codes, reference.fresh(len(codes)), torch.zeros(len(codes), dtype=torch.int64))
    assert samples.abs().max() > 0.1  # silence would prove nothing
    return samples.clamp(-1, 1)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", BOUNDS)
def test_samples_equal_the_reference(instructions: str, precision: Precision) -> None:
    torch.manual_seed(0)
    codes = random_codes(2, 21)  # more frames than the window has positions
    expected = expected_samples(codes)
    samples = native(precision, instructions).decode([3, 1], codes)
    assert (samples - expected).abs().max() < BOUNDS[precision] * expected.abs().max()
    assert relative_error(samples, expected) < BOUNDS[precision]


def test_other_dimensions_and_grouped_heads() -> None:
    torch.manual_seed(1)
    codes = random_codes(1, 14, WIDE)
    expected = expected_samples(codes, WIDE)
    samples = NativeCodec(packed(WIDE, "fp32"), 1, 20, Kernels()).decode([0], codes)
    assert (samples - expected).abs().max() < BOUNDS["fp32"] * expected.abs().max()


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", BOUNDS)
def test_every_chunking_gives_the_same_samples(instructions: str, precision: Precision) -> None:
    torch.manual_seed(2)
    codes = random_codes(1, 23)
    whole = native(precision, instructions).decode([0], codes)
    for sizes in ([1] * 23, [1, 2, 3, 17], [20, 3]):
        codec = native(precision, instructions)
        pieces = [codec.decode([2], piece) for piece in codes.split(sizes, dim=1)]
        assert torch.equal(torch.cat(pieces, dim=1), whole)


@pytest.mark.parametrize("precision", BOUNDS)
def test_slots_do_not_depend_on_each_other(precision: Precision) -> None:
    torch.manual_seed(3)
    codes = random_codes(4, 6)
    together = native(precision)
    together.decode([2], codes[2:3, :2])  # slot 2 is ahead of the others
    order = [1, 3, 2, 0]
    samples = together.decode(order, torch.stack([codes[slot, 2:] if slot == 2 else codes[slot, :4] for slot in order]))
    for row, slot in enumerate(order):
        alone = native(precision, threads=1)
        if slot == 2:
            alone.decode([0], codes[2:3, :2])
        expected = alone.decode([0], codes[slot : slot + 1, 2:] if slot == 2 else codes[slot : slot + 1, :4])
        assert torch.equal(samples[row], expected[0])


@pytest.mark.parametrize("precision", BOUNDS)
def test_results_do_not_depend_on_the_number_of_threads(precision: Precision) -> None:
    torch.manual_seed(4)
    codes = random_codes(2, 5)
    expected = native(precision, threads=1).decode([0, 1], codes)
    for threads in (2, 3, 5):
        assert torch.equal(native(precision, threads=threads).decode([0, 1], codes), expected)


def test_a_cleared_slot_carries_nothing_over() -> None:
    torch.manual_seed(5)
    codes, others = random_codes(1, 7), random_codes(1, 30)
    expected = native().decode([0], codes)
    codec = native()
    codec.decode([1], others)
    codec.clear(1)
    assert torch.equal(codec.decode([1], codes), expected)


def test_a_snapshot_can_be_restored_into_another_slot() -> None:
    torch.manual_seed(6)
    codes = random_codes(1, 20)
    expected = native().decode([0], codes)[:, 12 * 1920 :]
    codec = native()
    codec.decode([0], codes[:, :12])
    state = codec.snapshot(0)
    codec.decode([0], codes[:, :3])
    codec.restore(3, state, done=12)
    assert torch.equal(codec.decode([3], codes[:, 12:]), expected)


def test_advancing_moves_the_transformer_only() -> None:
    torch.manual_seed(7)
    dims = DIMENSIONS
    context = context_frames(dims)
    codes = random_codes(1, context + 20)
    expected = native().decode([0], codes)[:, -4 * 1920 :]
    codec = native()
    codec.advance([0], codes[:, :16])
    assert torch.equal(codec.decode([0], codes[:, 16:])[:, -4 * 1920 :], expected)


def test_what_makes_no_sense_is_refused() -> None:
    codec = native(slots=2)
    codes = random_codes(1, 2)
    for slots in ([2], [-1], [0, 0]):
        with pytest.raises(NativeError):
            codec.decode(slots, codes.expand(len(slots), -1, -1))
    with pytest.raises(NativeError):
        codec.decode([0], codes.clone().fill_(DIMENSIONS.codebook_size))
    with pytest.raises(NativeError):
        codec.decode([0], codes - DIMENSIONS.codebook_size)
    with pytest.raises(NativeError):
        codec.decode([0], random_codes(1, 65))  # longer than the longest sequence
    with pytest.raises(NativeError):
        codec.decode([0], codes[..., :3])


def test_dimensions_the_kernels_support() -> None:
    assert supports_codec(DIMENSIONS, "bf16")
    assert not supports_codec(DIMENSIONS, "nf4")
    assert not supports_codec(replace(DIMENSIONS, decoder=128), "fp32")  # eight channels at the end
    assert not supports_codec(replace(DIMENSIONS, head_dim=16), "fp32")


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_broken_past_is_heard_as_no_sound_and_by_no_other(instructions: str, value: float) -> None:
    codes = random_codes(2, 6)
    expected = native(instructions=instructions)
    expected.decode([0, 1], codes[:, :3])
    codec = native(instructions=instructions)
    codec.decode([0, 1], codes[:, :3])
    codec._state[1].view(torch.float32)[-1] = value  # pyright: ignore[reportPrivateUsage] - of the last convolution
    actual, wanted = codec.decode([0, 1], codes[:, 3:]), expected.decode([0, 1], codes[:, 3:])
    assert torch.equal(actual[0], wanted[0])
    assert actual[1].isnan().any()
    assert not actual[1].isinf().any()
    codec.clear(1)
    assert codec.decode([1], codes[1:]).isfinite().all()
