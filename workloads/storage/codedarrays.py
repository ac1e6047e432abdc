"""Named arrays as packed integer codes, in memory and in one .npz: NumPy alone, as `quantize_array`.

The file holds four arrays: `codes`, all arrays one after the other, bits next to bits, each from a byte of its own;
`scale` and `low`, float32; and `layout`, JSON with name, shape, type, rows and bits of each array.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwmodel.deprecated import old_attribute
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from workloads.compress.arrays import ArrayParams, dequantize_array, quantize_array
from workloads.npz import read_npz
from workloads.storage.packing import pack, packed_bytes, unpack

_KEYS = ("codes", "scale", "low", "layout")


@dataclass(frozen=True, kw_only=True, eq=False)
class CodedArray:
    """One array.

    Attributes:
        shape: of the array.
        packed: its codes, uint8, bits next to bits.
        params: bits, type, scale and low of each row.
    """

    shape: tuple[int, ...]
    packed: NDArray[np.uint8]
    params: ArrayParams

    @property
    def num_codes(self) -> int:
        """Elements of the array."""
        return math.prod(self.shape)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """One code per element, of `shape`."""
        return unpack(self.packed, self.params.bits, self.num_codes).astype(np.uint8).reshape(self.shape)

    @property
    def values(self) -> NDArray[Any]:
        """What the codes stand for, of `shape`."""
        rows = self.params.scale.shape[:1] if self.params.scale.ndim else ()
        return dequantize_array(self.codes.reshape((*rows, -1)), self.params).reshape(self.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class CodedArrays:
    """Arrays by name as codes.

    Attributes:
        arrays: in their order.
    """

    arrays: Mapping[str, CodedArray]

    @property
    def code_bytes(self) -> int:
        """Packed codes [byte]."""
        return sum(one.packed.nbytes for one in self.arrays.values())

    @property
    def parameter_bytes(self) -> int:
        """Scales and lows [byte]."""
        return sum(one.params.size_bytes for one in self.arrays.values())

    nbytes = old_attribute("nbytes", "size_bytes")

    @property
    def size_bytes(self) -> int:
        """In memory: codes, scales and lows [byte]."""
        return self.code_bytes + self.parameter_bytes

    @property
    def float_bytes(self) -> int:
        """Of the arrays in their own types [byte]."""
        return sum(one.num_codes * one.params.dtype.itemsize for one in self.arrays.values())

    @property
    def ratio(self) -> float:
        """`float_bytes` over `size_bytes`."""
        return self.float_bytes / self.size_bytes

    def values(self) -> dict[str, NDArray[Any]]:
        """name -> array, of its own shape and type."""
        return {name: one.values for name, one in self.arrays.items()}

    def save(self, path: str | Path) -> int:
        """Write the .npz, whole or not at all.

        Returns:
            The size of the file [byte].

        Raises:
            ConfigError: another suffix.
        """
        _check_suffix(path)
        layout = [
            {"name": name, "shape": one.shape, "type": one.params.dtype.str, "rows": one.params.scale.size,
             "matrix": one.params.scale.ndim == 2, "bits": one.params.bits}
            for name, one in self.arrays.items()
        ]  # fmt: skip
        parts = list(self.arrays.values())
        content = io.BytesIO()
        np.savez(
            content,
            codes=np.concatenate([one.packed for one in parts]),
            scale=np.concatenate([one.params.scale.reshape(-1) for one in parts]),
            low=np.concatenate([one.params.low.reshape(-1) for one in parts]),
            layout=np.frombuffer(json.dumps(layout).encode(), dtype=np.uint8),
        )
        return write_atomic(path, content.getvalue()).stat().st_size

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The arrays of a file of `save`.

        Raises:
            ConfigError: the file is absent, damaged, or another one.
        """
        _check_suffix(path)
        held = read_npz(path, _KEYS)
        try:
            return cls(arrays=_read(held))
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # ConfigError is a ValueError
            raise ConfigError(f"{path}: is damaged, or not of `CodedArrays.save`: {error}") from None


def code_arrays(
    arrays: Mapping[str, ArrayLike],
    bits: int | Mapping[str, int],
    *,
    rows: bool = False,
    rounding: str = "nearest",
    seed: int | None = None,
) -> CodedArrays:
    """Every array as codes between its extremes.

    Args:
        arrays: by name, such as the parameters of a model; any shape, real, finite, not empty.
        bits: 1..8 for all, or by name.
        rows: an array of two or more dims gets a scale and a low for each index of its first dim (the output
            channel of a weight); without, each array has one of both.
        rounding: `nearest`, `floor` or `stochastic`.
        seed: of the stochastic draws, each array its own; None draws anew each time.

    Raises:
        ConfigError: no arrays, a name without bits, or what `quantize_array` refuses; the message starts with
            the name.
    """
    if not arrays:
        raise ConfigError("code_arrays: at least one array is needed, but got none.")
    seeds = np.random.SeedSequence(seed).generate_state(len(arrays))
    found: dict[str, CodedArray] = {}
    for (name, given), own in zip(arrays.items(), seeds.tolist(), strict=True):
        array = np.asarray(given)
        width = bits.get(name) if isinstance(bits, Mapping) else bits
        flat = array.reshape(len(array), -1) if rows and array.ndim > 1 and array.size else array.reshape(-1)
        try:
            if width is None:
                raise ConfigError("has no bits. Give them by name for all arrays, or one number.")
            codes, params = quantize_array(flat, width, rounding=rounding, seed=own)
        except ConfigError as error:
            raise ConfigError(f"{name!r}: {error}") from None
        found[name] = CodedArray(shape=array.shape, packed=pack(codes, params.bits), params=params)
    return CodedArrays(arrays=found)


def _read(held: Mapping[str, NDArray[Any]]) -> dict[str, CodedArray]:
    """The arrays of a layout and its three parts.

    Raises:
        ConfigError, ValueError, KeyError, TypeError, AttributeError: they do not belong together.
    """
    found: dict[str, CodedArray] = {}
    code = row = 0
    for one in json.loads(held["layout"].tobytes()):
        shape, bits, rows = tuple(one["shape"]), one["bits"], one["rows"]
        size = packed_bytes(math.prod(shape), bits)
        form = (rows, 1) if one["matrix"] else ()
        scale, low = (held[part][row : row + rows].reshape(form) for part in ("scale", "low"))
        params = ArrayParams(bits=bits, scale=scale, low=low, dtype=np.dtype(one["type"]))
        packed = held["codes"][code : code + size]
        if packed.size != size:
            raise ConfigError(f"{one['name']!r} needs {size} bytes of codes, but {packed.size} are left")
        found[one["name"]] = CodedArray(shape=shape, packed=packed, params=params)
        code, row = code + size, row + rows
    if code != held["codes"].size or row != held["scale"].size:
        raise ConfigError("codes or scales are left over")
    return found


def _check_suffix(path: str | Path) -> None:
    if Path(path).suffix != ".npz":
        raise ConfigError(f"{Path(path).name} must end in .npz")
