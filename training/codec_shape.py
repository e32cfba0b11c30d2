"""Dimensions of the embedded voice's codec: small, cheap where samples are many, and shapes that the kernels have."""

from dataclasses import replace

from models.synthetic.shapes import TINY
from training.quantizer import CODEBOOK, GROUPS, WIDTH

DECODER = replace(
    TINY.codec,
    code_groups=GROUPS,
    codebook_size=CODEBOOK,
    codebook_dim=2 * WIDTH,
    latent=128,
    decoder=256,
    upsample_rates=(6, 5, 4, 4),
    layers=2,
    hidden=192,
    intermediate=512,
    heads=4,
    kv_heads=4,
    head_dim=32,
    window=24,
)

ENCODER = replace(
    TINY.codec_encoder,
    filters=16,
    ratios=(8, 6, 5, 4),
    hidden=128,
    intermediate=256,
    layers=2,
    heads=4,
    kv_heads=4,
    head_dim=32,
    quantizers=GROUPS,
    code_groups=GROUPS,
    codebook_size=CODEBOOK,
    codebook_dim=WIDTH,
    quantizer_dim=WIDTH,
)
