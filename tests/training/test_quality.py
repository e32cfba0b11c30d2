"""The gauge of quality, on a checkpoint that knows nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import HEADS, Sentence, cells, measure, read_sentences, write_sentences
from models import Kind
from models.architecture.speaking import read_architecture


@pytest.fixture(scope="module")
def teacher(tiny_checkpoint: Callable[[Kind], Path]) -> list[Sentence]:
    generator = np.random.default_rng(0)
    architecture = read_architecture(tiny_checkpoint("base"))
    shape = 20, architecture.code_groups
    return [
        Sentence(
            text,
            generator.normal(size=(80, 80)).astype(np.float32),
            generator.integers(0, architecture.codec.codebook_size, shape),
        )
        for text in ("One.", "Two.", "Three.")
    ]


def test_what_was_written_is_read(teacher: list[Sentence], tmp_path: Path) -> None:
    path = tmp_path / "teacher.npz"
    write_sentences(path, teacher)
    read = read_sentences(path)
    assert [one.text for one in read] == ["One.", "Two.", "Three."]
    for one, other in zip(read, teacher, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_allclose(one.features, other.features, atol=2e-3)


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_a_voice_that_knows_nothing_is_as_far_from_its_sentence_as_from_others(
    precision: str, teacher: list[Sentence], tiny_checkpoint: Callable[[Kind], Path]
) -> None:
    row = measure(str(tiny_checkpoint("base")), "fp32" if precision == "fp32" else "nf4", teacher)
    assert row.precision == precision
    assert row.summary.count == 3
    assert 0.8 < row.summary.ratio < 1.25
    codebook = read_architecture(tiny_checkpoint("base")).codec.codebook_size
    assert row.nats > np.log(codebook)  # worse than guessing: it is sure of what is wrong
    assert len(cells(row)) == len(HEADS)
