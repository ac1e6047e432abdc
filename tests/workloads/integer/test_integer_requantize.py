"""Multipliers and rounding against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.errors import ConfigError
from workloads.integer import fixed_point, requantizer

ACCUMULATORS = st.integers(-(2**31) + 1, 2**31 - 1)
FACTORS = st.floats(2.0**-30, 0.999, allow_nan=False).map(float)


def rounded(value: Fraction, rounding: str) -> int:
    """Python: round() of a Fraction goes to the nearest, ties to even."""
    if rounding == "round":
        return round(value)
    return math.floor(value + Fraction(1, 2)) if rounding == "half_up" else math.floor(value)


@settings(deadline=None, max_examples=60)
@given(FACTORS, st.booleans())
def test_a_fixed_point_multiplier_is_off_by_less_than_2_to_the_minus_31(factor, negative):
    factor = -factor if negative else factor
    (mantissas,), shift = fixed_point([torch.tensor(factor, dtype=torch.float64)])
    exact = Fraction(int(mantissas), 1 << int(shift))
    assert 2**30 <= abs(int(mantissas)) < 2**31
    assert abs(exact - Fraction(factor)) < abs(Fraction(factor)) / 2**31


@settings(deadline=None, max_examples=60)
@given(
    st.lists(ACCUMULATORS, min_size=1, max_size=8),
    FACTORS,
    st.sampled_from(["round", "half_up", "floor"]),
    st.sampled_from(["fixed", "reciprocal"]),
    st.integers(1, 31),
)
def test_integer_requantization_is_exact(accumulators, factor, rounding, multiplier, bits):
    maker = requantizer([torch.tensor(factor, dtype=torch.float64)], multiplier, rounding, bits)
    (effective,) = maker.effective()
    found = maker([torch.tensor(accumulators)], axis=0)
    assert found.tolist() == [rounded(a * effective, rounding) for a in accumulators]


@pytest.mark.parametrize("rounding", ["round", "half_up", "floor"])
def test_ties(rounding):
    """Multiples of 1/2 on both sides of 0."""
    accumulators = list(range(-9, 10))
    for multiplier in ("float", "fixed", "reciprocal"):
        maker = requantizer([torch.tensor(0.5)], multiplier, rounding)
        expected = [rounded(Fraction(a, 2), rounding) for a in accumulators]
        assert maker([torch.tensor(accumulators)], axis=0).tolist() == expected


def test_a_reciprocal_is_the_rounded_quotient():
    """Dividing by D = 3: m = round(2^16 / 3) = 21845."""
    maker = requantizer([torch.tensor(1 / 3, dtype=torch.float64)], "reciprocal", "floor", 16)
    assert maker.effective() == [Fraction(21845, 1 << 16)]
    assert maker([torch.tensor([2, 3, 300])], axis=0).tolist() == [21845 * a >> 16 for a in (2, 3, 300)]


@settings(deadline=None, max_examples=40)
@given(st.integers(-200, 200), st.integers(-200, 200), FACTORS, FACTORS)
def test_an_add_rounds_once_at_a_common_scale(a, b, first, second):
    factors = [torch.tensor(f, dtype=torch.float64) for f in (first, second)]
    maker = requantizer(factors, "fixed", "round")
    one, two = maker.effective(0)[0], maker.effective(1)[0]
    found = maker([torch.tensor([a]), torch.tensor([b])], axis=0)
    assert found.tolist() == [round(a * one + b * two)]
    assert maker.shift is not None and maker.shift.dim() == 0


def test_channels_have_their_own_multipliers():
    factors = torch.tensor([0.5, -0.25, 0.0], dtype=torch.float64)
    for multiplier in ("float", "fixed", "reciprocal"):
        maker = requantizer([factors], multiplier, "round")
        assert maker([torch.tensor([[8, 8, 8]])]).tolist() == [[4, -2, 0]]
        assert maker.effective() == [Fraction(1, 2), Fraction(-1, 4), Fraction(0)]


def test_multipliers_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="below 2"):
        requantizer([torch.tensor(9.0)], "fixed", "round", 4)
    with pytest.raises(ConfigError, match="below 2\\^31"):
        requantizer([torch.tensor(9.0)], "reciprocal", "round", 31)
