"""Shared by all tests: tiny random checkpoints and a cache directory of their own."""

import resource
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from models import Kind


@pytest.fixture(scope="session", autouse=True)
def cache_in_temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Whatever tests make ready for later uses, they make in a directory that goes away."""
    directory = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWEN3_TTS_CACHE", str(directory))
        yield directory


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    """The directory of a tiny checkpoint of a kind, written once a session; to be left as it is."""
    root = tmp_path_factory.mktemp("tiny")

    @cache
    def make(kind: Kind) -> Path:
        from models.synthetic.writing import write_checkpoint

        write_checkpoint(root / kind, "tiny", kind)
        return root / kind

    return make


_DATA_LIMITS = resource.getrlimit(resource.RLIMIT_DATA)


@pytest.fixture(autouse=True)
def _memory_is_limited_for_one_test_only() -> Iterator[None]:
    """A replica holds its process to its budget: in a test that is the process of all tests, and of what they start."""
    yield
    resource.setrlimit(resource.RLIMIT_DATA, _DATA_LIMITS)
