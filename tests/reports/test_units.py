"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (7, "7"), (840, "840"), (61_470, "61.5k"), (416_520, "417k"), (999_499, "999k"),
        (999_500, "1.00M"), (1.81e9, "1.81G"), (118_013_952, "118M"), (2.5, "2.5"), (None, "–"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_counts_have_three_digits_and_a_prefix(value: float | None, text: str) -> None:
    assert units.count(value) == text


def test_energy_is_joules_not_picojoules() -> None:
    # 4.1 mJ = 4.1e-3 J = 4.1e9 pJ
    assert units.energy(4.1e9) == "4.10 mJ"
    assert units.energy(1.0) == "1.00 pJ"
    assert units.energy(999.9) == "1.00 nJ"


def test_other_quantities() -> None:
    assert units.seconds(0.062) == "62.0 ms"
    assert units.frequency(200e6) == "200 MHz"
    assert units.data_size(8 * 5.84e6) == "5.84 MB"
    assert units.data_size(0) == "0 B"
    assert units.percent(0.97222) == "97.22 %"
    assert units.duration(31) == "0:31"
    assert units.duration(3725) == "1:02:05"
    assert units.number(2.5988, 4) == "2.5988"


@settings(deadline=None, max_examples=100)
@given(st.floats(min_value=1e-11, max_value=9e17))
def test_the_text_is_the_value_to_three_digits(value: float) -> None:
    mantissa, prefix = units.engineering(value)
    scale = {"p": 1e-12, "n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
    assert float(mantissa) * scale[prefix] == pytest.approx(value, rel=5.001e-3)
    assert sum(c.isdigit() for c in mantissa) == 3
