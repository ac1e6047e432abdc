"""Small integers, bits next to bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError


def pack_bits(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Codes of `bits` bits each, highest bit first, one after the other; the last byte is filled up with zeros.

    Args:
        codes: 0 .. 2^bits - 1, any shape, in order of memory.
        bits: 1..8.

    Returns:
        ceil(codes * bits / 8) bytes.
    """
    flat = np.ascontiguousarray(codes, dtype=np.uint8).reshape(-1)
    if bits == 8:
        return flat
    return np.packbits(np.unpackbits(flat[:, None], axis=1)[:, 8 - bits :])


def unpack_bits(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """The first `count` codes of `pack_bits`, (count,).

    Raises:
        ConfigError: not the number of bytes that they take.
    """
    if packed.size != -(-count * bits // 8):
        raise ConfigError(f"{count} codes of {bits} bits take {-(-count * bits // 8)} bytes, but got {packed.size}")
    if bits == 8:
        return packed
    table = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    return np.packbits(np.pad(table, ((0, 0), (8 - bits, 0))), axis=1).reshape(-1)
