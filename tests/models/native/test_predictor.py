"""The native code predictor against the passes written out, and its draws against models.language.sampling."""

import ctypes
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.architecture.precision import PRECISIONS, Precision
from models.language.sampling import SamplingRows, sample
from models.native import Kernels, NativeCodePredictor, NativeError
from models.native.structures import SamplingStructure
from tests.models.native.reference_stack import (
    INSTRUCTIONS,
    Matrix,
    ReferenceStack,
    dimensions,
    matrix,
    needs_native,
)

pytestmark = needs_native

GROUPS, VOCABULARY = 5, 96


class ReferencePredictor:
    """Every pass computed anew over the whole sequence, in float64."""

    def __init__(self, precision: Precision, talker_hidden: int) -> None:
        dims = replace(dimensions(layers=2), vocabulary=VOCABULARY)
        dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self.stack = ReferenceStack(dims, precision)
        self.heads = [matrix(precision, VOCABULARY, dims.hidden, scale=0.3) for _ in range(GROUPS)]
        self.embeddings = [torch.randn(VOCABULARY, talker_hidden).to(dtype) for _ in range(GROUPS)]
        self.projection: tuple[Matrix, Tensor] | None = None
        if talker_hidden != dims.hidden:
            self.projection = matrix(precision, dims.hidden, talker_hidden, scale=0.1), torch.randn(dims.hidden)

    def native(self, kernels: Kernels, rows: int = 8) -> NativeCodePredictor:
        projection = self.projection and (self.projection[0].packed, self.projection[1])
        stack = self.stack.native(kernels, rows, GROUPS + 1)
        return NativeCodePredictor(stack, self.embeddings, [head.packed for head in self.heads], projection)

    def predict(self, hidden: Tensor, first: Tensor, uniforms: Tensor, rows: SamplingRows) -> Tensor:
        codes = torch.empty(len(hidden), GROUPS, dtype=torch.int64)
        for row in range(len(hidden)):
            one = SamplingRows(rows.temperature[row : row + 1], rows.top_k[row : row + 1], rows.top_p[row : row + 1])
            inputs = [hidden[row], first[row]]
            for group in range(GROUPS):
                state = self.stack.forward(self._project(torch.stack(inputs).double()))[-1]
                logits = (self.heads[group].dense @ state).float()
                codes[row, group] = sample(logits[None], uniforms[row, group][None], one)[0]
                inputs.append(self.embeddings[group][codes[row, group]])
        return codes

    def _project(self, x: Tensor) -> Tensor:
        if self.projection is None:
            return x
        return x @ self.projection[0].dense.T + self.projection[1].double()


def settings(rows: int) -> SamplingRows:
    """Greedy, plain, top-k, top-p and all together."""
    kinds = [(0.0, 0, 1.0), (1.0, 0, 1.0), (0.9, 5, 1.0), (0.7, 0, 0.6), (1.3, 40, 0.8)]
    temperature, top_k, top_p = zip(*(kinds[row % len(kinds)] for row in range(rows)), strict=True)
    return SamplingRows(torch.tensor(temperature), torch.tensor(top_k), torch.tensor(top_p))


def inputs(rows: int, talker_hidden: int) -> tuple[Tensor, Tensor, Tensor, SamplingRows]:
    hidden, first = torch.randn(2, rows, talker_hidden)
    return hidden, first, torch.rand(rows, GROUPS, dtype=torch.float64), settings(rows)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("talker_hidden", [128, 192])
def test_fp32_codes_equal_the_reference(instructions: str, talker_hidden: int) -> None:
    torch.manual_seed(talker_hidden)
    reference = ReferencePredictor("fp32", talker_hidden)
    given = inputs(7, talker_hidden)
    codes, total = reference.native(Kernels(instructions, 2)).predict(*given)
    assert torch.equal(codes, reference.predict(*given))
    embedded = torch.stack([table[codes[:, group]] for group, table in enumerate(reference.embeddings)])
    assert torch.allclose(total, embedded.sum(dim=0), atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
def test_other_precisions_mostly_draw_the_same_codes(precision: Precision) -> None:
    torch.manual_seed(0)
    reference = ReferencePredictor(precision, 192)
    given = inputs(8, 192)
    codes, _ = reference.native(Kernels()).predict(*given)
    # A rounding near the edge of a code's share changes it, and all that follow it.
    assert (codes[:, 0] == reference.predict(*given)[:, 0]).float().mean() > 0.8


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_does_not_depend_on_the_rows_beside_it(instructions: str, precision: Precision) -> None:
    torch.manual_seed(1)
    predictor = ReferencePredictor(precision, 192).native(Kernels(instructions, 2))
    hidden, first, uniforms, rows = inputs(8, 192)
    codes, total = predictor.predict(hidden, first, uniforms, rows)
    for row in (0, 3, 7):
        part = slice(row, row + 1)
        one = SamplingRows(rows.temperature[part], rows.top_k[part], rows.top_p[part])
        alone = predictor.predict(hidden[part], first[part], uniforms[part], one)
        assert torch.equal(alone[0], codes[part])
        assert torch.equal(alone[1], total[part])


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(2)
    reference, given = ReferencePredictor("nf4", 192), inputs(5, 192)
    expected = reference.native(Kernels(threads=1)).predict(*given)
    for threads in (2, 3, 6):
        actual = reference.native(Kernels(threads=threads)).predict(*given)
        assert torch.equal(actual[0], expected[0])
        assert torch.equal(actual[1], expected[1])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_a_broken_row_is_reported_and_touches_no_other(precision: Precision, value: float) -> None:
    torch.manual_seed(3)
    predictor = ReferencePredictor(precision, 192).native(Kernels())
    hidden, first, uniforms, rows = inputs(6, 192)
    expected, _ = predictor.predict(hidden, first, uniforms, rows)
    assert not predictor.failed.any()
    hidden[2, 5] = value
    codes, _ = predictor.predict(hidden, first, uniforms, rows)
    assert predictor.failed.tolist() == [row == 2 for row in range(6)]
    others = [0, 1, 3, 4, 5]
    assert torch.equal(codes[others], expected[others])
    assert ((codes >= 0) & (codes < VOCABULARY)).all()


def test_more_rows_than_the_cache_has_slots_are_refused() -> None:
    predictor = ReferencePredictor("fp32", 128).native(Kernels(), rows=2)
    with pytest.raises(NativeError):
        predictor.predict(*inputs(3, 128))


def draw(logits: Tensor, uniform: float, temperature: float, top_k: int, top_p: float) -> int:
    row = SamplingStructure(temperature, top_p, top_k)
    library = Kernels().library
    return library.speech_sample(logits.data_ptr(), len(logits), ctypes.byref(row), uniform)


@pytest.mark.parametrize("vocabulary", [1, 2, 50, 2048])
@pytest.mark.parametrize("ties", [False, True])
def test_draws_equal_models_sampling(vocabulary: int, ties: bool) -> None:
    generator = torch.Generator().manual_seed(vocabulary)
    for trial in range(60):
        logits = torch.randn(vocabulary, generator=generator) * 3
        if ties:
            logits = logits.round()
        uniform = [0.0, 1.0 - 2.0**-53, *torch.rand(2, generator=generator, dtype=torch.float64).tolist()][trial % 4]
        temperature = [0.0, 0.5, 0.9, 2.0][trial % 4 - trial % 3]
        top_k = [0, 1, 3, 50, vocabulary, 10 * vocabulary][trial % 6]
        top_p = [1.0, 0.3, 0.9, 1e-6, 0.999][trial % 5]
        rows = SamplingRows(torch.tensor([temperature]), torch.tensor([top_k]), torch.tensor([top_p]))
        expected = sample(logits[None], torch.tensor([uniform], dtype=torch.float64), rows)
        assert draw(logits, uniform, temperature, top_k, top_p) == int(expected), (trial, temperature, top_k, top_p)


def test_greedy_takes_the_first_of_equals() -> None:
    assert draw(torch.tensor([1.0, 3.0, 3.0, 2.0]), 0.9, 0.0, 0, 1.0) == 1
