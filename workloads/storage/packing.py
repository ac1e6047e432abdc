"""Small integers, bits next to bits: the one layout of all files that hold them.

Codes follow one another without gaps, the highest bit of each first; the last byte is filled up with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError
from workloads.options import is_integer

MAX_CODE_BITS = 16
_CHUNK = 1 << 16  # codes at a time, a multiple of 8: every chunk ends on a byte


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return -(-count * bits // 8)


def pack(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Codes of `bits` bits each, in the order of memory.

    Args:
        codes: integers 0 .. 2^bits - 1, any shape.
        bits: 1..16.

    Returns:
        `packed_bytes(codes.size, bits)` bytes.

    Raises:
        ConfigError: other bits, or a code out of their range.
    """
    _check_bits(bits)
    flat = np.ascontiguousarray(codes).reshape(-1)
    if flat.dtype.kind not in "iub":
        raise ConfigError(f"codes must be integers, but are {flat.dtype}")
    if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) < 2**bits:
        raise ConfigError(
            f"codes of {bits} bits must lie in 0..{2**bits - 1}, but reach {int(flat.min())}..{int(flat.max())}"
        )
    parts = [_to_bytes(flat[start : start + _CHUNK], bits) for start in range(0, flat.size, _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)


def unpack(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint16]:
    """The codes of `pack`, (count,).

    Raises:
        ConfigError: other bits, or not the number of bytes that they take.
    """
    _check_bits(bits)
    if packed.size != packed_bytes(count, bits):
        raise ConfigError(
            f"{count} codes of {bits} bits take {packed_bytes(count, bits)} bytes, but got {packed.size}"
        )
    codes = np.zeros(count, dtype=np.uint16)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        part = packed[start * bits // 8 : packed_bytes(stop, bits)]
        table = np.unpackbits(part, count=(stop - start) * bits).reshape(-1, bits)
        for column in range(bits):
            codes[start:stop] |= table[:, column].astype(np.uint16) << (bits - 1 - column)
    return codes


def _to_bytes(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    wide = codes.astype(">u2").view(np.uint8).reshape(-1, 2)
    return np.packbits(np.unpackbits(wide, axis=1)[:, 16 - bits :])


def _check_bits(bits: int) -> None:
    if not is_integer(bits, 1, MAX_CODE_BITS):
        raise ConfigError(f"bits must be an integer in 1..{MAX_CODE_BITS}, but got {bits!r}")
