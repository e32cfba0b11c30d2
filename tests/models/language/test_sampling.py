"""Draws: filters as transformers applies them, uniform numbers that depend on nothing but their counter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import InvalidRequestError, Sampling, SamplingSettings
from models.language.sampling import SamplingRows, sample
from models.seeds import derived_seed, uniform_numbers


def _draw(logits: torch.Tensor, uniforms: list[float], settings: SamplingSettings) -> list[int]:
    rows = SamplingRows.talker([settings] * len(logits))
    return sample(logits, torch.tensor(uniforms, dtype=torch.float64), rows).tolist()


def test_uniform_numbers_depend_on_seed_frame_and_codebook_only() -> None:
    together = uniform_numbers([7, 8, 2**64 - 1], [0, 5, 9], range(16), 16)
    assert together.shape == (3, 16)
    alone = uniform_numbers([8], [5], range(16), 16)
    np.testing.assert_array_equal(together[1], alone[0])
    np.testing.assert_array_equal(alone[:, 3:], uniform_numbers([8], [5], range(3, 16), 16))


def test_uniform_numbers_are_uniform_and_all_different() -> None:
    numbers = uniform_numbers([1] * 2000, range(2000), range(16), 16).ravel()
    assert len(np.unique(numbers)) == numbers.size
    assert 0 <= numbers.min() < numbers.max() < 1
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    expected = numbers.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 44  # chi squared, 19 degrees: one chance in a thousand


def test_neighbouring_seeds_are_unrelated() -> None:
    first, second = (uniform_numbers([seed], [0], range(1000), 1000)[0] for seed in (3, 4))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.12


def test_derived_seeds_differ_and_repeat() -> None:
    assert derived_seed(5, 1) == derived_seed(5, 1) != derived_seed(5, 2)
    assert 0 <= derived_seed(2**64 - 1, 1) < 2**64


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.25, 0.125, 0.125])
    uniforms = (np.arange(1000) + 0.5) / 1000
    drawn = _draw(probabilities.log().repeat(1000, 1), uniforms.tolist(), SamplingSettings(temperature=1.0, top_k=0))
    assert np.bincount(drawn).tolist() == [500, 250, 125, 125]


def test_temperature_zero_takes_the_first_of_the_largest() -> None:
    logits = torch.tensor([[0.0, 3.0, 3.0, -1.0]])
    assert _draw(logits, [0.99], SamplingSettings(temperature=0.0)) == [1]


@pytest.mark.parametrize(
    ("top_k", "allowed"), [(1, {2}), (2, {2, 0}), (3, {2, 0, 3}), (0, {0, 1, 2, 3}), (9, {0, 1, 2, 3})]
)
def test_top_k_keeps_the_largest(top_k: int, allowed: set[int]) -> None:
    logits = torch.tensor([[2.0, 0.5, 3.0, 1.0]]).repeat(200, 1)
    uniforms = ((np.arange(200) + 0.5) / 200).tolist()
    assert set(_draw(logits, uniforms, SamplingSettings(temperature=1.0, top_k=top_k))) == allowed


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.1, 3),
    top_k=st.integers(0, 40),
    top_p=st.floats(0.05, 1.0),
)
def test_the_kept_codes_are_those_that_transformers_keeps(
    seed: int, temperature: float, top_k: int, top_p: float
) -> None:
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(1, 32, generator=torch.Generator().manual_seed(seed)) * 3
    scores = TemperatureLogitsWarper(temperature)(None, logits)  # pyright: ignore[reportArgumentType]
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)  # pyright: ignore[reportArgumentType]
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)  # pyright: ignore[reportArgumentType]
    cumulative = scores.double().softmax(-1).cumsum(-1)[0].numpy()
    uniforms = (np.arange(300) + 0.5) / 300
    drawn = _draw(logits.repeat(300, 1), uniforms.tolist(), SamplingSettings(temperature, top_k, top_p))
    expected = np.searchsorted(cumulative, uniforms * cumulative[-1], side="right")
    # The settings pass through float32 here, so a draw at the very edge of a code may fall to its neighbour.
    assert (np.asarray(drawn) == expected).mean() > 0.99


def test_rows_do_not_depend_on_each_other() -> None:
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)) * 4
    each = [
        SamplingSettings(0.0),
        SamplingSettings(0.7, 5),
        SamplingSettings(1.5, 0, 0.6),
        SamplingSettings(1.0, 50),
        SamplingSettings(),
        SamplingSettings(0.9, 3, 0.5),
    ]
    uniforms = torch.linspace(0.05, 0.95, 6, dtype=torch.float64)
    together = sample(logits, uniforms, SamplingRows.talker(each))
    for row, settings_of_row in enumerate(each):
        alone = sample(logits[row : row + 1], uniforms[row : row + 1], SamplingRows.talker([settings_of_row]))
        assert alone[0] == together[row]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"predictor_temperature": float("inf")}, "predictor_temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"predictor_top_p": float("nan")}, "predictor_top_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, float], field: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        Sampling(**changes)  # pyright: ignore[reportArgumentType]
    assert error.value.field == field


def test_what_a_request_leaves_out_is_the_checkpoints_with_a_seed_or_without() -> None:
    checkpoint = SamplingSettings(temperature=0.3, top_k=7, repetition_penalty=1.0)
    assert Sampling().resolved(checkpoint) == Sampling(seed=5).resolved(checkpoint) == checkpoint
    assert Sampling(top_p=0.5, seed=5).resolved(checkpoint) == replace(checkpoint, top_p=0.5)
