"""The networks that are trained compute what the package computes with their weights."""

import torch

from models.architecture import CodecDecoderDimensions
from models.codec_decoder import CodecDecoder
from models.codec_encoder import CodecEncoder
from models.native import supports_codec
from models.tensor_inventory import codec_decoder_tensors, codec_encoder_tensors
from training.codec_shape import DECODER, ENCODER
from training.decoder_network import DecoderNetwork
from training.encoder_network import EncoderNetwork
from training.fast_layers import snake
from training.mel import MELS, STEPS
from training.quantizer import CODEBOOK, GROUPS, WIDTH, Quantizer

FRAMES = 7


def small_quantizer() -> Quantizer:
    """Random tables; patches are never made with it."""
    generator = torch.Generator().manual_seed(5)
    patch = STEPS * MELS
    return Quantizer(
        mean=torch.zeros(patch),
        semantic=torch.randn(patch, WIDTH, generator=generator),
        acoustic=torch.randn(patch, WIDTH, generator=generator),
        tables=torch.randn(GROUPS, CODEBOOK, WIDTH, generator=generator),
        synthesis=torch.zeros(2 * WIDTH, patch),
    )


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def test_decoder() -> None:
    network = DecoderNetwork(DECODER, small_quantizer(), seed=1)
    network.precision = torch.float32
    tensors = network.published()
    assert _shapes(tensors) == codec_decoder_tensors(DECODER)
    codes = torch.randint(0, CODEBOOK, (2, FRAMES, GROUPS), generator=torch.Generator().manual_seed(2))
    decoder = CodecDecoder(DECODER, tensors.__getitem__, torch.float32)
    with torch.inference_mode():
        expected = decoder.decode(codes, decoder.fresh(2), torch.zeros(2, dtype=torch.int64))
        made = network(codes)
    assert expected.std() > 0.1
    assert (made - expected).abs().max() < 1e-4 * expected.abs().max()


def test_encoder() -> None:
    quantizer = small_quantizer()
    network = EncoderNetwork(ENCODER, quantizer, seed=1)
    network.precision = torch.float32
    tensors = network.published()
    assert _shapes(tensors) == codec_encoder_tensors(ENCODER)
    samples = 0.1 * torch.randn(FRAMES * DECODER.samples_per_frame, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = CodecEncoder(ENCODER, tensors.__getitem__).encode(samples)
        latents = network(samples[None])[:, 0]
    assert latents.std() > 0.1
    assert torch.equal(quantizer.encode(latents), expected)


def test_snakes_pass_gradients() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2, 3, 4, generator=generator, dtype=torch.float32, requires_grad=True)
    alpha, beta = (0.3 * torch.randn(4, generator=generator) for _ in range(2))
    alpha.requires_grad_()
    beta.requires_grad_()
    plain = x + (x * alpha.exp()).sin().square() / beta.exp()
    torch.testing.assert_close(snake(x, alpha, beta), plain)
    weight = torch.randn(2, 3, 4, generator=generator)
    ours = torch.autograd.grad((snake(x, alpha, beta) * weight).sum(), (x, alpha, beta))
    theirs = torch.autograd.grad((plain * weight).sum(), (x, alpha, beta))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_native_kernels_run_the_decoder() -> None:
    shape: CodecDecoderDimensions = DECODER
    assert supports_codec(shape, "fp32")
    assert supports_codec(shape, "bf16")
