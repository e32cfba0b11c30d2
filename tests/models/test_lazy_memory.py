"""Reserved memory costs nothing until it is used."""

from pathlib import Path

import torch

from models.decoder_stack import KeyValueCache
from models.lazy_memory import lazy_zeros
from models.synthetic.shapes import SHAPES

MIB = 1024 * 1024


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_only_what_is_written_is_resident() -> None:
    before = _resident()
    zeros = lazy_zeros((256, MIB // 2), torch.bfloat16)
    assert zeros.data_ptr() % 64 == 0
    zeros[3] = 1
    assert _resident() - before < 16 * MIB
    assert float(zeros[3].float().sum()) == MIB // 2
    assert not zeros[4].any()


def test_a_full_size_cache_is_free_until_a_slot_is_used() -> None:
    before = _resident()
    cache = KeyValueCache(SHAPES["0.6b"].talker, slots=8, positions=2048, dtype=torch.bfloat16)
    assert cache.nbytes == 28 * 2 * 8 * 8 * 2048 * 128 * 2
    cache.keys[:, 5, :, :100] = 1
    assert _resident() - before < 64 * MIB
