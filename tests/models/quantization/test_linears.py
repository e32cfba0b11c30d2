"""NF4 equal to bitsandbytes bit for bit, int8, and the products of every precision."""

import logging
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from models.architecture.precision import PRECISIONS, Precision
from models.quantization.int8 import dequantize_int8, quantize_int8
from models.quantization.linear import Linear, make_linear
from models.quantization.nf4 import dequantize_nf4, nf4_values, quantize_nf4
from models.quantization.processor import compute_dtype, processor_flags
from models.quantization.torch_linears import Bf16Linear, DenseLinear, FusedNf4Linear, Int8Linear, Nf4Linear


@pytest.fixture(scope="module")
def bitsandbytes() -> Any:
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    return pytest.importorskip("bitsandbytes.functional")


def random_weight(outputs: int, inputs: int, seed: int = 0) -> torch.Tensor:
    """With outliers, as trained weights have them."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=generator) * 0.03
    weight[:, :: max(inputs // 5, 1)] *= 10
    return weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("outputs", "inputs"), [(1, 64), (64, 64), (3, 128), (300, 192), (512, 1024), (96, 3072), (100, 90), (7, 22)]
)
def test_nf4_is_bitsandbytes_bit_for_bit(bitsandbytes: Any, dtype: torch.dtype, outputs: int, inputs: int) -> None:
    for seed in range(5):
        weight = random_weight(outputs, inputs, seed).to(dtype)
        codes, state = bitsandbytes.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
        scales = bitsandbytes.dequantize_blockwise(state.absmax, state.state2) + state.offset
        ours = quantize_nf4(weight)
        assert torch.equal(ours.codes, codes.flatten())
        assert torch.equal(ours.scales, scales)
        assert torch.equal(dequantize_nf4(ours).to(dtype), bitsandbytes.dequantize_4bit(codes, state))


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5])
def test_nf4_keeps_constant_matrices(value: float) -> None:
    weight = torch.full((64, 64), value)
    assert torch.equal(dequantize_nf4(quantize_nf4(weight)), weight)


@pytest.mark.parametrize("inputs", [64, 80, 2224])
def test_nf4_error_is_that_of_four_bits(inputs: int) -> None:
    weight = torch.randn(64, inputs, generator=torch.Generator().manual_seed(1))
    error = (dequantize_nf4(quantize_nf4(weight)) - weight).norm() / weight.norm()
    assert 0.05 < error < 0.11


def test_nf4_takes_a_ninth_of_float32() -> None:
    weight = random_weight(512, 1024)
    assert quantize_nf4(weight).nbytes == weight.numel() // 2 + weight.numel() // 64 * 4


@pytest.mark.parametrize(("outputs", "inputs"), [(32, 64), (7, 90), (1, 5), (300, 192)])
def test_int8_is_within_half_a_step(outputs: int, inputs: int) -> None:
    weight = random_weight(outputs, inputs)
    quantised = quantize_int8(weight)
    assert quantised.codes.shape == weight.shape
    assert quantised.scales.shape == (outputs, -(-inputs // 64))
    steps = quantised.scales.repeat_interleave(64, dim=1)[:, :inputs]
    assert ((dequantize_int8(quantised) - weight).abs() <= steps * 0.5001).all()
    assert quantised.codes.abs().amax() == 127


def test_int8_keeps_zeros() -> None:
    assert torch.equal(dequantize_int8(quantize_int8(torch.zeros(4, 128))), torch.zeros(4, 128))


def stored(weight: torch.Tensor, precision: Precision) -> torch.Tensor:
    """What a matrix is at a precision, float32."""
    match precision:
        case "fp32":
            return weight
        case "bf16":
            return weight.bfloat16().float()
        case "int8":
            return dequantize_int8(quantize_int8(weight))
        case "nf4":
            return dequantize_nf4(quantize_nf4(weight))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("outputs", "inputs"), [(32, 64), (1600, 1024), (90, 154), (70, 50)])
@pytest.mark.parametrize("rows", [1, 3, 20])
def test_product_is_with_the_stored_matrix(precision: Precision, outputs: int, inputs: int, rows: int) -> None:
    weight = random_weight(outputs, inputs)
    x = torch.randn(rows, inputs, generator=torch.Generator().manual_seed(2))
    expected = x.double() @ stored(weight, precision).double().T
    result = make_linear(weight, precision)(x)
    assert result.dtype == torch.float32
    # Products in bfloat16 round the input to 8 bits and, in the fused kernel, the scales too.
    tolerance = 1e-2 if precision in ("bf16", "nf4") and compute_dtype() == torch.bfloat16 else 1e-5
    assert (result - expected).norm() < tolerance * expected.norm()


def linears() -> list[tuple[Linear, torch.Tensor]]:
    weight = random_weight(1600, 1024)
    made: list[tuple[Linear, torch.Tensor]] = [
        (DenseLinear(weight), weight),
        (DenseLinear(weight.bfloat16()), stored(weight, "bf16")),
        (Bf16Linear(weight.bfloat16()), stored(weight, "bf16")),
        (Int8Linear(quantize_int8(weight)), stored(weight, "int8")),
        (Nf4Linear(quantize_nf4(weight)), stored(weight, "nf4")),
    ]
    quantised = quantize_nf4(weight)
    if FusedNf4Linear.serves(quantised):
        made.append((FusedNf4Linear(quantised), stored(weight, "nf4")))
    return made


@pytest.mark.parametrize(("linear", "matrix"), linears(), ids=lambda value: type(value).__name__)
def test_every_class_multiplies(linear: Linear, matrix: torch.Tensor) -> None:
    x = torch.randn(5, 1024, generator=torch.Generator().manual_seed(3))
    expected = x.double() @ matrix.double().T
    assert (linear(x) - expected).norm() < 1e-2 * expected.norm()
    assert linear.nbytes > 0


@pytest.mark.parametrize(("linear", "matrix"), linears(), ids=lambda value: type(value).__name__)
def test_batch_invariance_is_what_it_says(linear: Linear, matrix: torch.Tensor) -> None:
    if not linear.batch_invariant:
        pytest.skip("makes no such promise")
    x = torch.randn(17, matrix.shape[1], generator=torch.Generator().manual_seed(4))
    alone = torch.cat([linear(row[None]) for row in x])
    for rows in (2, 3, 4, 5, 8, 16, 17):
        assert torch.equal(linear(x[:rows]), alone[:rows])


@pytest.mark.parametrize(("outputs", "inputs"), [(90, 154), (128, 22), (33, 64)])
def test_expanding_in_pieces_equals_the_whole(monkeypatch: pytest.MonkeyPatch, outputs: int, inputs: int) -> None:
    monkeypatch.setattr("models.quantization.torch_linears._CHUNK", 1)  # pieces of 64 rows
    weight = random_weight(outputs, inputs)
    identity = torch.eye(inputs)
    assert torch.equal(Nf4Linear(quantize_nf4(weight))(identity).T, stored(weight, "nf4"))
    assert torch.equal(Int8Linear(quantize_int8(weight))(identity).T, stored(weight, "int8"))
    assert torch.equal(Bf16Linear(weight.bfloat16())(identity).T, stored(weight, "bf16"))


def test_bf16_weights_are_not_copied() -> None:
    weight = random_weight(64, 64).bfloat16()
    linear = make_linear(weight, "bf16")
    before = linear(torch.ones(1, 64))
    weight.zero_()
    assert before.abs().sum() > 0
    assert linear(torch.ones(1, 64)).abs().sum() == 0


def test_nf4_values_are_bitsandbytes(bitsandbytes: Any) -> None:
    assert torch.equal(nf4_values(), bitsandbytes.get_4bit_type("nf4", device="cpu"))


def testprocessor_flags() -> None:
    assert processor_flags("processor : 0\nflags\t\t: fpu avx2 avx512_bf16\n") == {"fpu", "avx2", "avx512_bf16"}
    assert processor_flags("Features : fp asimd bf16") == {"fp", "asimd", "bf16"}
    assert processor_flags("") == set()


def test_a_machine_restricted_to_avx2_computes_in_float32() -> None:
    code = "from models.quantization.linear import compute_dtype; print(compute_dtype())"
    environment = {"ATEN_CPU_CAPABILITY": "avx2", "PATH": "/usr/bin"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "torch.float32"


def test_quantising_imports_no_bitsandbytes() -> None:
    code = (
        "import sys, torch; from models.quantization.linear import quantize_nf4; quantize_nf4(torch.randn(64, 64));"
        "print('bitsandbytes' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "False"


def test_reference_product() -> None:
    weight, x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 10.0]])
    assert torch.equal(make_linear(weight, "fp32")(x), F.linear(x, weight))
