"""State kept by voice: bounded in bytes, least recently used first out."""

import torch

from models.engine.prefix_cache import PrefixCache


def _state(size: int) -> tuple[torch.Tensor, ...]:
    return (torch.zeros(size, dtype=torch.uint8),)


def test_least_recently_used_goes_first() -> None:
    cache = PrefixCache(30)
    for key in (b"a", b"b", b"c"):
        cache.put(key, _state(10))
    assert cache.get(b"a") is not None
    cache.put(b"d", _state(10))
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None
    assert cache.nbytes == 30


def test_what_would_not_fit_is_not_kept() -> None:
    cache = PrefixCache(30)
    cache.put(b"a", _state(10))
    cache.put(b"b", _state(31))
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None
    assert cache.nbytes == 10


def test_the_same_key_is_counted_once() -> None:
    cache = PrefixCache(30)
    cache.put(b"a", _state(10))
    cache.put(b"a", _state(10))
    assert cache.nbytes == 10
