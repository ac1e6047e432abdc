"""Named arrays as packed codes: what they stand for, what they take, and files that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodel.errors import ConfigError
from workloads.compress import CodedArrays, code_arrays, quantize_array

DRAW = np.random.default_rng(0)
ARRAYS = {
    "conv.weight": DRAW.normal(size=(5, 3, 3, 3)).astype(np.float32),
    "norm.bias": DRAW.normal(size=5).astype(np.float32),
    "scalar": np.float64(2.5),
    "double": DRAW.normal(size=(2, 7)),
}


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_codes_and_values_are_those_of_quantize(bits, rows, tmp_path):
    coded = code_arrays(ARRAYS, bits, rows=rows)
    assert coded.save(tmp_path / "all.npz") == (tmp_path / "all.npz").stat().st_size
    for held in (coded, CodedArrays.load(tmp_path / "all.npz")):
        assert list(held.arrays) == list(ARRAYS)
        for name, array in ARRAYS.items():
            shape = (len(array), -1) if rows and array.ndim > 1 else (-1,)
            codes, params = quantize_array(np.reshape(array, shape), bits)
            one = held.arrays[name]
            assert (one.codes.reshape(codes.shape) == codes).all()
            assert one.values.shape == np.shape(array) and one.values.dtype == array.dtype
            assert np.abs(one.values - array).max() <= params.scale.max() / 2 + 1e-6
            assert (held.values()[name] == one.values).all()


def test_sizes_by_hand():
    """3 bits: 135 codes in 51 bytes, 5 in 2, 1 in 1, 14 in 6; 8 bytes for each of 5 + 1 + 1 + 2 rows."""
    coded = code_arrays(ARRAYS, 3, rows=True)
    assert (coded.code_bytes, coded.parameter_bytes, coded.size_bytes) == (60, 72, 132)
    assert coded.float_bytes == 4 * (135 + 5) + 8 * (1 + 14) and coded.ratio == coded.float_bytes / 132
    assert code_arrays(ARRAYS, 3).parameter_bytes == 8 * 4
    mixed = code_arrays(ARRAYS, {"conv.weight": 1, "norm.bias": 8, "scalar": 8, "double": 8})
    assert mixed.code_bytes == 17 + 5 + 1 + 14


def test_draws_have_the_mean_of_the_values_and_follow_the_seed():
    x = {"a": np.linspace(0, 3, 1000), "b": np.linspace(0, 3, 1000)}
    first, again, other = (code_arrays(x, 2, rounding="stochastic", seed=seed).values() for seed in (1, 1, 2))
    assert (first["a"] == again["a"]).all() and (first["a"] != other["a"]).any()
    assert (first["a"] != first["b"]).any(), "each array has its own draws"
    mean = np.mean([code_arrays(x, 2, rounding="stochastic", seed=n).values()["a"] for n in range(400)], axis=0)
    assert np.abs(mean - x["a"]).max() < 5 * 0.5 / np.sqrt(400)  # the deviation of a draw is 1/2 of a step at most


@pytest.mark.parametrize(
    ("arrays", "bits", "message"),
    [
        ({}, 8, "at least one array"),
        ({"a": np.zeros((0, 2))}, 8, "'a': x must be a vector"),
        ({"a": [1.0]}, 9, r"'a': bits must be an integer in 1..8"),
        ({"a": [1.0], "b": [1.0]}, {"a": 8}, "'b': has no bits"),
        ({"a": [np.nan]}, 8, "'a': x must be finite"),
    ],
)
def test_what_has_no_codes_is_refused(arrays, bits, message):
    with pytest.raises(ConfigError, match=message):
        code_arrays(arrays, bits)


@pytest.mark.parametrize("change", ["codes", "scale", "layout", "name", "codes more"])
def test_damaged_files_are_refused(change, tmp_path):
    path = tmp_path / "all.npz"
    code_arrays(ARRAYS, 4).save(path)
    with np.load(path) as held:
        parts = dict(held)
    if change == "name":
        path = path.rename(tmp_path / "all.bin")
    elif change == "codes more":
        np.savez(path, **{**parts, "codes": np.append(parts["codes"], np.uint8(0))})
    else:
        np.savez(path, **{**parts, change: parts[change][:-1]})
    with pytest.raises(ConfigError, match=r"must end in \.npz" if change == "name" else "is damaged"):
        CodedArrays.load(path)
