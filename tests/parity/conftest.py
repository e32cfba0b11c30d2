"""Random checkpoints of several shapes, and upstream on each of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from models import Kind
from models.catalog.shapes import SPECIAL_CODES, TINY, SyntheticShape
from models.synthetic.writing import write_checkpoint
from tests.parity.upstream_reference import Upstream

# The talker's own size in the predictor, as in the 0.6B: no projection between them; every head has its keys.
SAME_SIZE = replace(
    TINY,
    size="0b6",
    talker=replace(TINY.talker, layers=3, hidden=64, intermediate=192, kv_heads=4),
    predictor=replace(TINY.predictor, hidden=64, intermediate=96, heads=2, kv_heads=1, head_dim=64),
    speaker_encoder=replace(TINY.speaker_encoder, embedding=64),
)
# Dimensions that are no multiple of any block, fewer code groups, a short codec window.
ODD = replace(
    TINY,
    size="odd",
    talker=replace(
        TINY.talker, hidden=84, intermediate=150, heads=6, kv_heads=3, head_dim=14, vocabulary=128 + SPECIAL_CODES
    ),
    predictor=replace(
        TINY.predictor, layers=1, hidden=50, intermediate=70, heads=5, kv_heads=1, head_dim=10, vocabulary=128
    ),
    codec=replace(TINY.codec, codebook_size=128, code_groups=6, window=5, latent=40, decoder=80, heads=2, kv_heads=2),
    codec_encoder=replace(TINY.codec_encoder, codebook_size=128, quantizers=9, code_groups=6),
    speaker_encoder=replace(TINY.speaker_encoder, embedding=84),
    text_hidden=44,
)
SHAPES = {"tiny": TINY, "same_size": SAME_SIZE, "odd": ODD}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Kind], Path]:
    """Directory of a random checkpoint by shape and kind, written once a session."""
    root = tmp_path_factory.mktemp("checkpoints")

    @cache
    def make(name: str, kind: Kind) -> Path:
        shape: SyntheticShape = SHAPES[name]
        directory = root / f"{name}-{kind}"
        write_checkpoint(directory, shape, kind, seed=len(name))
        return directory

    return make


@pytest.fixture(scope="session")
def upstream() -> Callable[[Path], Upstream]:
    """Upstream's model of a directory, loaded once a session."""
    torch.set_num_threads(1)
    return cache(Upstream)


@pytest.fixture(scope="session")
def endless_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint that never ends by itself."""
    directory = tmp_path_factory.mktemp("endless")
    write_checkpoint(directory, "tiny", "voice_design", endless=True)
    return directory
