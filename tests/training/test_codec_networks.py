"""The network that is trained computes what the package computes with its weights."""

import torch

from models.architecture.tensors import codec_decoder_tensors
from models.codec.decoder import CodecDecoder
from models.native import supports_codec
from training.codec_shape import CODES, DECODER
from training.decoder_network import DecoderNetwork
from training.mel import STEPS
from training.quantizer import CODEBOOK, GROUPS, SHAPES, WIDTH, Quantizer
from training.sound import COSINES

FRAMES = 7


def small_quantizer() -> Quantizer:
    """Random tables; envelopes are never made with it."""
    generator = torch.Generator().manual_seed(5)
    patch = STEPS * COSINES
    return Quantizer(
        mean=torch.zeros(patch),
        semantic=torch.zeros(patch, SHAPES),
        acoustic=torch.zeros(patch, SHAPES),
        tables=torch.randn(GROUPS, CODEBOOK, WIDTH, generator=generator),
        synthesis=torch.zeros(2 * SHAPES, patch),
    )


def test_blocks_that_only_sort_samples_say_what_was_trained() -> None:
    network = DecoderNetwork(DECODER, small_quantizer(), seed=1)
    with torch.no_grad():
        network.reading.weight.mul_(10)
        network.reading.bias.uniform_(-0.01, 0.01)
    tensors = network.published()
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == codec_decoder_tensors(DECODER)
    codes = torch.randint(0, CODEBOOK, (2, FRAMES, CODES), generator=torch.Generator().manual_seed(2))
    decoder = CodecDecoder(DECODER, tensors.__getitem__, torch.float32)
    with torch.inference_mode():
        expected = network(codes)
        made = decoder.decode(codes, decoder.fresh(2), torch.zeros(2, dtype=torch.int64))
    assert 0.01 < expected.std() < 0.5
    assert (made - expected).abs().max() < 1e-4 * expected.abs().max()


def test_native_kernels_run_the_decoder() -> None:
    assert supports_codec(DECODER, "fp32")
    assert supports_codec(DECODER, "bf16")
