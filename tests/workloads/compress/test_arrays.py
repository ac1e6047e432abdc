from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.errors import ConfigError
from workloads.compress import compression_ratio, dequantize_array, quantize_array


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(1, 8), rows=st.sampled_from([None, 1, 5]), columns=st.integers(1, 40),
    seed=st.integers(0, 99), scale=st.sampled_from([1e-6, 1.0, 1e6]),
    dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_a_round_trip_errs_by_half_a_step_of_its_row(
    bits: int, rows: int | None, columns: int, seed: int, scale: float, dtype: type
) -> None:
    shape = (columns,) if rows is None else (rows, columns)
    x = (scale * np.random.default_rng(seed).normal(size=shape)).astype(dtype)
    codes, params = quantize_array(x, bits)
    assert (codes.dtype, codes.shape) == (np.uint8, x.shape)
    assert codes.max() <= 2**bits - 1
    back = dequantize_array(codes, params)
    assert (back.dtype, back.shape) == (x.dtype, x.shape)
    step = np.ptp(x, axis=-1, keepdims=rows is not None) / (2**bits - 1)
    assert (np.abs(back - x) <= step / 2 + 4e-7 * np.abs(x).max()).all()
    again, _ = quantize_array(back, bits)
    assert (again == codes).all(), "idempotent"
    order = np.argsort(x, axis=-1)
    assert (np.diff(np.take_along_axis(codes, order, -1).astype(int), axis=-1) >= 0).all(), "monotone"


def test_by_hand() -> None:
    codes, params = quantize_array([[-1.0, 0.0, 0.4, 2.0], [5.0, 5.0, 5.0, 5.0]], 2)
    assert codes.tolist() == [[0, 1, 1, 3], [0, 0, 0, 0]]
    assert dequantize_array(codes, params).tolist() == [[-1.0, 0.0, 0.0, 2.0], [5.0, 5.0, 5.0, 5.0]]
    integers = np.array([3, 7, 200], dtype=np.int16)
    assert dequantize_array(*quantize_array(integers, 8)).dtype == np.int16


@pytest.mark.parametrize(("bits", "rows", "columns"), [(8, 1, 1000), (4, 10, 33), (3, 7, 5), (1, 2, 3)])
def test_the_ratio_counts_packed_codes_and_two_floats_per_row(bits: int, rows: int, columns: int) -> None:
    x = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)
    stored = -(-rows * columns * bits // 8) + rows * (4 + 4)
    assert compression_ratio(x, *quantize_array(x, bits)) == 4 * rows * columns / stored
    double = x.astype(np.float64)
    assert compression_ratio(double, *quantize_array(double, bits)) == 8 * rows * columns / stored
    flat = x.reshape(-1)
    assert compression_ratio(flat, *quantize_array(flat, bits)) == 4 * flat.size / (-(-flat.size * bits // 8) + 8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint32, np.int64, np.uint64, np.float16])
@pytest.mark.parametrize("bits", [np.int64(1), 3, 8])
def test_the_ends_of_a_type_come_back_inside_it(dtype: type, bits: int) -> None:
    """float32 parameters may round past the last value of the type; a wrapped integer would be at its other end."""
    limits = np.finfo(dtype) if dtype is np.float16 else np.iinfo(dtype)
    x = np.array([limits.min, limits.max], dtype)
    codes, params = quantize_array(x, bits)
    back = dequantize_array(codes, params)
    assert codes.tolist() == [0, 2 ** int(bits) - 1]
    assert np.isfinite(back.astype(np.float64)).all()
    np.testing.assert_allclose(back.astype(np.float64), x.astype(np.float64), rtol=1e-6)


def test_a_constant_between_two_floats_has_no_negative_step() -> None:
    x = np.full(5, 0.1)
    codes, params = quantize_array(x, 4)
    assert params.scale == 0
    assert dequantize_array(codes, params).tolist() == [float(np.float32(0.1))] * 5


@pytest.mark.parametrize(
    ("x", "bits", "message"),
    [
        ([1.0], 0, r"1\.\.8, but got 0"),
        ([1.0], 9, r"1\.\.8, but got 9"),
        ([1.0], True, "but got True"),
        ([], 4, "not empty"),
        (3.0, 4, r"has shape \(\)"),
        (np.zeros((1, 1, 1)), 4, r"has shape \(1, 1, 1\)"),
        (["a"], 4, "real numbers"),
        ([1.0, float("nan")], 4, "finite"),
        ([-1e300, 1e300], 4, "float32"),
    ],
)
def test_what_is_refused(x: object, bits: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quantize_array(x, bits)  # type: ignore[arg-type]


def test_roundings_of_arrays_by_hand() -> None:
    """Codes 0..3 on 0..3: the value is the code before rounding."""
    x = np.array([0.0, 0.6, 1.5, 2.9, 3.0])
    assert quantize_array(x, 2)[0].tolist() == [0, 1, 2, 3, 3]
    assert quantize_array(x, 2, rounding="floor")[0].tolist() == [0, 0, 1, 2, 3]
    one, two = (quantize_array(x, 2, rounding="stochastic", seed=3)[0].tolist() for _ in range(2))
    assert one == two
    draws = np.stack([quantize_array(x, 2, rounding="stochastic", seed=seed)[0] for seed in range(400)])
    deviation = np.sqrt((x % 1) * (1 - x % 1) / 400)
    assert (np.abs(draws.mean(0) - x) <= 4 * deviation).all()
    with pytest.raises(ConfigError, match="Did you mean 'stochastic'"):
        quantize_array(x, 2, rounding="stochastik")
