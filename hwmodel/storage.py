"""How many bits a tensor with zeros takes: the smallest of four ways to store it, metadata included."""

from __future__ import annotations

import math
from typing import Literal

Format = Literal["dense", "bitmask", "run_length", "coordinate"]

#: Bits of one run length, as in the run-length coder of Eyeriss (Chen et al., JSSC 2017, section V-C).
RUN_BITS = 5


def stored_bits(elements: int, bits: int, density: float) -> tuple[float, Format]:
    """Expected size of a tensor [bit], and the format that gives it.

    Args:
        elements: of the tensor.
        bits: width of an element [bit].
        density: non-zero fraction, in (0, 1].

    Returns:
        The smallest of dense, bitmask (one bit per element), run length (5-bit runs of zeros; longer
        runs store a zero) and coordinate (an index per non-zero).
    """
    dense = float(elements * bits)
    if density >= 1.0:
        return dense, "dense"
    nonzeros = elements * density
    # A run holds up to 2^5 - 1 zeros before a value: of the zeros, this share starts a stored filler.
    longest = 2**RUN_BITS
    fillers = nonzeros * (1 - density) ** longest / (1 - (1 - density) ** longest)
    sizes: dict[Format, float] = {
        "dense": dense,
        "bitmask": elements + nonzeros * bits,
        "run_length": (nonzeros + fillers) * (bits + RUN_BITS),
        "coordinate": nonzeros * (bits + max(1, math.ceil(math.log2(elements)))),
    }
    best = min(sizes, key=lambda name: sizes[name])
    return sizes[best], best


def compression(elements: int, bits: int, density: float) -> float:
    """Stored size over dense size, in (0, 1]."""
    return stored_bits(elements, bits, density)[0] / (elements * bits)
