"""The native transformer stack against float64, and the promises about batches, pieces and failures."""

import pytest
import torch

from models.architecture.precision import PRECISIONS, Precision
from models.native import Kernels, NativeError, NativeStack, supports
from tests.models.native.reference_stack import (
    INSTRUCTIONS,
    ReferenceStack,
    dimensions,
    needs_native,
    relative_error,
)

pytestmark = needs_native

# Root mean square error of hidden states over three layers against the same weights in float64. bf16: activations and
# cache of 8 bits; int8 and nf4: activations of 8 bits a block, see test_native_linear.py.
BOUNDS: dict[Precision, float] = {"fp32": 2e-6, "bf16": 0.01, "int8": 0.02, "nf4": 0.02}


def prefill(stack: NativeStack, x: torch.Tensor, slot: int, pieces: int | None = None) -> torch.Tensor:
    positions = list(range(len(x)))
    size = pieces or len(x)
    return torch.cat(
        [
            stack.forward(x[i : i + size], [slot] * len(x[i : i + size]), positions[i : i + size])
            for i in range(0, len(x), size)
        ]
    )


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_prefill_equals_float64(instructions: str, precision: Precision, head_dim: int) -> None:
    torch.manual_seed(head_dim)
    reference = ReferenceStack(dimensions(head_dim=head_dim), precision)
    x = torch.randn(37, 128)
    hidden = prefill(reference.native(Kernels(instructions, 2)), x, slot=2)
    assert relative_error(hidden, reference.forward(x)) < BOUNDS[precision]


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_prefill_in_pieces_equals_prefill_at_once(instructions: str, precision: Precision) -> None:
    torch.manual_seed(3)
    reference = ReferenceStack(dimensions(), precision)
    x = torch.randn(23, 128)
    whole = prefill(reference.native(Kernels(instructions, 2)), x, slot=0)
    for size in (1, 2, 9):
        assert torch.equal(prefill(reference.native(Kernels(instructions, 2)), x, 1, size), whole)


def test_a_prefill_longer_than_one_piece_of_the_library() -> None:
    torch.manual_seed(4)
    reference = ReferenceStack(dimensions(layers=1), "fp32")
    x = torch.randn(300, 128)
    whole = prefill(reference.native(Kernels(), positions=320), x, slot=0)
    assert torch.equal(prefill(reference.native(Kernels(), positions=320), x, 0, 77), whole)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_sequences_in_a_batch_equal_each_alone(instructions: str, precision: Precision) -> None:
    torch.manual_seed(5)
    reference = ReferenceStack(dimensions(), precision)
    slots, steps = 11, 4
    x = torch.randn(slots, 8 + steps, 128)
    lengths = [1 + slot % 7 for slot in range(slots)]
    batched = reference.native(Kernels(instructions, 2), slots)
    for slot, length in enumerate(lengths):
        prefill(batched, x[slot, :length], slot)
    order = [7, 0, 3, 10, 1, 2, 9, 4, 8, 6, 5]
    together = torch.empty(0)
    for step in range(steps):
        rows = torch.stack([x[slot, lengths[slot] + step] for slot in order])
        together = batched.forward(rows, order, [lengths[slot] + step for slot in order])
    for row, slot in enumerate(order):
        alone = prefill(reference.native(Kernels(instructions, 1)), x[slot, : lengths[slot] + steps], 3)
        assert torch.equal(alone[-1], together[row])


def test_prefill_and_decode_may_share_a_call() -> None:
    torch.manual_seed(6)
    reference = ReferenceStack(dimensions(), "fp32")
    x, other = torch.randn(9, 128), torch.randn(5, 128)
    stack = reference.native(Kernels())
    prefill(stack, x[:8], slot=0)
    mixed = stack.forward(torch.cat((x[8:], other)), [0, *[2] * 5], [8, *range(5)])
    assert torch.equal(mixed[:1], prefill(reference.native(Kernels()), x, 0)[8:])
    assert torch.equal(mixed[1:], prefill(reference.native(Kernels()), other, 0))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_results_do_not_depend_on_the_number_of_threads(precision: Precision) -> None:
    torch.manual_seed(7)
    reference = ReferenceStack(dimensions(), precision)
    x = torch.randn(6, 128)
    expected = prefill(reference.native(Kernels(threads=1)), x, 0)
    for threads in (2, 3, 5):
        assert torch.equal(prefill(reference.native(Kernels(threads=threads)), x, 0), expected)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_a_broken_row_is_reported_and_touches_no_other(instructions: str, precision: Precision, value: float) -> None:
    torch.manual_seed(8)
    reference = ReferenceStack(dimensions(), precision)
    x = torch.randn(6, 128)
    slots, positions = list(range(6)), [0] * 6
    whole = reference.native(Kernels(instructions, 2), slots=6)
    expected = whole.forward(x, slots, positions)
    assert expected.isfinite().all()
    x[4, 100] = value
    broken = reference.native(Kernels(instructions, 2), slots=6)
    actual = broken.forward(x, slots, positions)
    assert actual[4].isnan().all()
    assert torch.equal(actual[:4], expected[:4])
    assert torch.equal(actual[5:], expected[5:])
    assert broken.forward(x[:1], [4], [0]).isfinite().all()  # the slot can be used again


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_broken_key_is_not_smoothed_over(instructions: str, value: float) -> None:
    torch.manual_seed(9)
    stack = ReferenceStack(dimensions(), "fp32").native(Kernels(instructions, 2))
    x = torch.randn(20, 128)
    prefill(stack, x, slot=1)
    stack.cache.keys[0, 1, 0, 3, 5] = value  # its value vector is as it was
    out = stack.forward(x[:2], [0, 1], [0, 20])
    assert out[0].isfinite().all()
    assert not out[1].isfinite().any()


@pytest.mark.parametrize(
    ("slots", "positions"),
    [
        ([4], [0]),
        ([-1], [0]),
        ([0], [64]),
        ([0], [-1]),
        ([0, 0], [3, 5]),
        ([0, 0], [3, 3]),
        ([0, 1, 0], [0, 0, 1]),
        ([0], [0, 1]),
    ],
)
def test_rows_that_make_no_sense_are_refused(slots: list[int], positions: list[int]) -> None:
    stack = ReferenceStack(dimensions(layers=1), "fp32").native(Kernels())
    with pytest.raises(NativeError):
        stack.forward(torch.zeros(len(slots), 128), slots, positions)


def test_dimensions_the_kernels_support() -> None:
    assert supports(dimensions(), "nf4")
    assert supports(dimensions(head_dim=32), "nf4")
    assert not supports(dimensions(head_dim=48), "fp32")
    assert not supports(dimensions(hidden=120), "fp32")
    assert supports(dimensions(hidden=144), "bf16")
    assert not supports(dimensions(hidden=144), "int8")
    assert not supports(dimensions(intermediate=96), "nf4")
