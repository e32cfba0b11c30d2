"""Reserved memory costs nothing until it is used."""

import platform
from pathlib import Path

import pytest
import torch

from models.catalog.shapes import SHAPES
from models.language.decoder_stack import KeyValueCache
from models.language.lazy_memory import give_back_heap, lazy_zeros, touched_bytes

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
    assert cache.untouched_bytes == cache.nbytes
    cache.keys[:, 5, :, :100] = 1
    assert cache.nbytes - cache.untouched_bytes == 28 * 8 * 7 * 4096  # 100 positions of 256 bytes end in a seventh page
    assert _resident() - before < 64 * MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have their own ways")
def test_freed_memory_between_used_memory_is_given_back() -> None:
    before = _resident()
    blocks = [bytes([1]) * 50_000 for _ in range(2000)]
    kept = blocks[::50]
    del blocks
    give_back_heap()
    assert _resident() - before < 20 * MIB
    assert all(block[-1] == 1 for block in kept)


def test_touched_pages_are_told_from_reserved_ones() -> None:
    zeros = lazy_zeros((64, 4096), torch.uint8)
    assert touched_bytes(zeros) == 0
    zeros[10:13] = 1
    assert touched_bytes(zeros) == 3 * 4096
