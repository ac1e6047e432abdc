"""Arrays as small integers and back, with the true size: a NumPy pair that needs no torch.

Affine between the extremes, per array (1-D) or per row (2-D): x ~ scale * code + low. The codes come
one per byte, ready to use; the size counts them packed, bits next to bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwmodel.deprecated import old_attribute
from hwmodel.errors import ConfigError, check_one_of
from workloads.compress.config import ROUNDINGS

MAX_CODE_BITS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayParams:
    """What turns codes back into values.

    Attributes:
        bits: of a code [bit], 1..8.
        scale, low: float32; () for a 1-D array, (rows, 1) for a 2-D one.
        dtype: of the array that was quantized.
    """

    bits: int
    scale: NDArray[np.float32]
    low: NDArray[np.float32]
    dtype: np.dtype[Any]

    nbytes = old_attribute("nbytes", "size_bytes")

    @property
    def size_bytes(self) -> int:
        """Stored size: scale and low of every row [byte]."""
        return self.scale.nbytes + self.low.nbytes


def quantize_array(
    x: ArrayLike, bits: int, *, rounding: str = "nearest", seed: int | None = None
) -> tuple[NDArray[np.uint8], ArrayParams]:
    """Codes 0 .. 2^bits - 1 between the extremes of a vector, or of every row of a matrix.

    Args:
        x: (n,) or (rows, n), real, finite; not empty.
        bits: 1..8.
        rounding: `nearest` (ties to even), `floor`, or `stochastic`: up with the probability of the fraction,
            so that the mean over many draws is the value.
        seed: of the stochastic draw; the same seed gives the same codes, None another draw each time.

    Returns:
        Codes uint8, the shape of `x`, and what `dequantize_array` needs. The error of a value is at most half
        a step of its row (a whole one unless rounded to the nearest), and the float32 rounding of scale and
        low; a constant row comes back as float32 holds it.

    Raises:
        ConfigError: another number of bits or dims, another rounding, nothing to quantize, or values that are not
            finite.
    """
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= MAX_CODE_BITS:
        raise ConfigError(f"bits must be an integer in 1..{MAX_CODE_BITS}, but got {bits!r}")
    check_one_of("rounding", rounding, ROUNDINGS)
    array = np.asarray(x)
    if array.ndim not in (1, 2) or not array.size or array.dtype.kind not in "fiu":
        raise ConfigError(
            f"x must be a vector or a matrix of real numbers, not empty, but has shape {array.shape} and dtype "
            f"{array.dtype}"
        )
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise ConfigError("x must be finite, but holds NaN or infinity")
    low, high = values.min(-1, keepdims=array.ndim == 2), values.max(-1, keepdims=array.ndim == 2)
    first = _float32(low)
    # the lowest value may be rounded up past the highest
    step = np.maximum(_float32((high - first) / (2 ** int(bits) - 1)), np.float32(0))
    codes = _rounded((values - first) / np.where(step > 0, step, 1.0), rounding, seed)
    params = ArrayParams(bits=int(bits), scale=step, low=first, dtype=array.dtype)
    return np.clip(codes, 0, 2**bits - 1).astype(np.uint8), params


def _rounded(values: NDArray[np.float64], rounding: str, seed: int | None) -> NDArray[np.float64]:
    if rounding == "nearest":
        return np.rint(values)
    below = np.floor(values)
    if rounding == "stochastic":
        below += np.random.default_rng(seed).random(values.shape) < values - below
    return below


def dequantize_array(codes: NDArray[np.uint8], params: ArrayParams) -> NDArray[Any]:
    """scale * code + low, in the dtype of the original array; integers are rounded, and nothing leaves its range.

    Args:
        codes, params: of `quantize_array`.
    """
    values = params.scale.astype(np.float64) * codes + params.low
    if params.dtype.kind == "f":
        limits = np.finfo(params.dtype)
        bounded: NDArray[Any] = np.clip(values, limits.min, limits.max).astype(params.dtype)
        return bounded
    return _integers(np.rint(values), params.dtype)


def compression_ratio(x: ArrayLike, codes: NDArray[np.uint8], params: ArrayParams) -> float:
    """Bytes of the array over bytes of its codes, packed, and parameters.

    Rows are packed one after the other and the last byte is filled up.

    Args:
        x: what was quantized; its own dtype counts.
        codes, params: of `quantize_array`.
    """
    packed = -(-codes.size * params.bits // 8)
    return np.asarray(x).nbytes / (packed + params.size_bytes)


def _integers(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cast; the ends of 64-bit types are no floats, so what reaches them is set, not cast."""
    limits = np.iinfo(dtype)
    below, above = values <= limits.min, values >= limits.max
    result: NDArray[Any] = np.where(below | above, 0.0, values).astype(dtype)
    result[below], result[above] = limits.min, limits.max
    return result


def _float32(values: Any) -> NDArray[np.float32]:
    with np.errstate(over="raise"):
        try:
            return np.asarray(values, dtype=np.float64).astype(np.float32)
        except FloatingPointError:
            raise ConfigError("x must fit float32, but its range overflows") from None
