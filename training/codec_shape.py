"""Dimensions of the embedded voice's codec: small, cheap where samples are many, and shapes that the kernels have."""

from dataclasses import replace

from models.catalog import TINY
from training.place import PLACES
from training.quantizer import CODEBOOK, GROUPS, WIDTH

CODES = GROUPS + PLACES  # of a frame: its sound, and the place of the next one

DECODER = replace(
    TINY.codec,
    code_groups=CODES,
    codebook_size=CODEBOOK,
    codebook_dim=2 * WIDTH,
    latent=256,
    decoder=256,
    upsampling_ratios=(2, 4),
    upsample_rates=(5, 4, 4, 3),
    layers=2,
    hidden=192,
    intermediate=512,
    heads=4,
    kv_heads=4,
    head_dim=32,
    window=24,
)

# Nothing is cloned in context, so nothing encodes clips: an encoder has to be there, but it holds nothing.
ENCODER = replace(TINY.codec_encoder, quantizers=CODES, code_groups=CODES, codebook_size=CODEBOOK)
