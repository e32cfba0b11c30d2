"""Products by packed matrices against float64, within bounds that follow from the arithmetic."""

import pytest
import torch
from torch import Tensor

from models.architecture.precision import PRECISIONS, Precision
from models.native import Kernels, NativeError, NativeLinear, PackedLinear, fits
from tests.models.native.reference_stack import INSTRUCTIONS, Matrix, matrix, needs_native

pytestmark = needs_native

INPUTS = 320
NF4_LEVEL_ERROR = 0.00284  # of a block's largest weight; see src/int_formats.h


def error_bound(precision: Precision, weights: Matrix, x: Tensor) -> Tensor:
    """The largest possible |error| of each output [rows, outputs]."""
    magnitudes = x.double().abs()
    terms = magnitudes @ weights.dense.abs().T
    rounding = terms * x.shape[1] * 2.0**-23  # of float32 sums
    if precision == "fp32":
        return rounding
    if precision == "bf16":
        return terms * 2.0**-8 + rounding  # of activations, where the processor multiplies bfloat16
    blocks = magnitudes.view(len(x), -1, 64)
    half_step = blocks.amax(dim=2, keepdim=True).expand_as(blocks).flatten(1) / 254  # activations have 8 bits
    bound = half_step @ weights.dense.abs().T + rounding + 1e-6
    if precision == "nf4":
        bound += terms * 2.0**-8  # of the scales, which are bfloat16
        bound += (blocks.sum(dim=2) + 64 * half_step[:, ::64]) @ weights.block_maxima.T * NF4_LEVEL_ERROR
    return bound * 1.001


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 21])
def test_product_is_within_its_bound(instructions: str, precision: Precision, rows: int) -> None:
    torch.manual_seed(rows)
    weights = matrix(precision, 112, INPUTS)
    x = torch.randn(rows, INPUTS) * torch.rand(rows, 1) * 3
    x[0, 7] = 40.0  # an outlier costs its own block of 64 only
    y = NativeLinear(weights.packed, Kernels(instructions, 2))(x)
    error = (y.double() - x.double() @ weights.dense.T).abs()
    assert (error <= error_bound(precision, weights, x)).all()


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_typical_error_of_8_bit_activations(precision: Precision) -> None:
    torch.manual_seed(0)
    weights, x = matrix(precision, 256, 1024), torch.randn(4, 1024)
    expected = x.double() @ weights.dense.T
    error = (NativeLinear(weights.packed, Kernels())(x).double() - expected).norm() / expected.norm()
    assert 0.001 < error < 0.01


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_does_not_depend_on_the_rows_beside_it(instructions: str, precision: Precision) -> None:
    torch.manual_seed(1)
    linear = NativeLinear(matrix(precision, 80, 192).packed, Kernels(instructions, 2))
    x = torch.randn(19, 192)
    together = linear(x)
    for count in (1, 2, 4, 7, 8):
        assert torch.equal(torch.cat([linear(part) for part in x.split(count)]), together)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_results_do_not_depend_on_the_number_of_threads(precision: Precision) -> None:
    torch.manual_seed(2)
    weights, x = matrix(precision, 80, 192).packed, torch.randn(6, 192)
    expected = NativeLinear(weights, Kernels(threads=1))(x)
    for threads in (2, 3, 7):
        assert torch.equal(NativeLinear(weights, Kernels(threads=threads))(x), expected)


@pytest.mark.parametrize("precision", ["fp32", "int8", "nf4"])
def test_instruction_sets_with_fused_multiply_add_agree_to_the_bit(precision: Precision) -> None:
    torch.manual_seed(3)
    weights, x = matrix(precision, 64, 256).packed, torch.randn(5, 256)
    results = [NativeLinear(weights, Kernels(name, 1))(x) for name in INSTRUCTIONS if name != "portable"]
    assert all(torch.equal(result, results[0]) for result in results)


def test_zero_rows_and_zero_values() -> None:
    for precision in PRECISIONS:
        linear = NativeLinear(matrix(precision, 32, 64).packed, Kernels())
        assert linear(torch.zeros(0, 64)).shape == (0, 32)
        assert torch.equal(linear(torch.zeros(2, 64)), torch.zeros(2, 32))


def test_shapes_without_a_kernel_are_refused() -> None:
    assert fits("nf4", 16, 64)
    assert not fits("nf4", 16, 80)
    assert not fits("int8", 24, 64)
    assert fits("fp32", 16, 80)
    with pytest.raises(ValueError, match="no nf4 kernel"):
        PackedLinear(torch.zeros(8, dtype=torch.uint8), "nf4", 16, 80)
    with pytest.raises(ValueError, match="contiguous bytes"):
        PackedLinear(torch.zeros(8, dtype=torch.uint8), "nf4", 16, 64)


def test_unknown_instruction_set_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(NativeError, match="portable"):
        Kernels("neon")
