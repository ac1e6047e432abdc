"""How many bits a tensor with zeros takes: the smallest of the ways to store it, metadata included."""

from __future__ import annotations

import math
from typing import Literal

Format = Literal["bitmask", "run_length", "packed_run_length", "csc", "coordinate"]

#: What a memory that names no formats may use.
ANY_FORMAT: tuple[Format, ...] = ("bitmask", "run_length", "coordinate")
#: Bits of one run length, as in the run-length coder of Eyeriss (Chen et al., JSSC 2017, section V-C).
RUN_BITS = 5
#: Words into which that coder packs as many (run, value) pairs as fit beside one flag bit [bit].
PACK_BITS = 64
#: Bits of one count in the compressed sparse columns of Eyeriss v2 (Chen et al., JETCAS 2019, section IV).
COUNT_BITS = 4


def stored_bits(
    elements: int, bits: int, density: float, formats: tuple[Format, ...] = ANY_FORMAT
) -> tuple[float, Format | Literal["dense"]]:
    """Expected size of a tensor [bit], and the format that gives it.

    Args:
        elements: of the tensor.
        bits: width of an element [bit].
        density: non-zero fraction, in (0, 1].
        formats: those to choose among; dense is always one of them.

    Returns:
        The smallest of dense and the formats: bitmask (one bit per element), run_length (5-bit runs of zeros;
        longer runs store a zero), packed_run_length (the same in 64-bit words that hold whole pairs and a flag),
        csc (4-bit runs) and coordinate (an index per non-zero).
    """
    dense = float(elements * bits)
    if density >= 1.0:
        return dense, "dense"
    sizes: dict[Format | Literal["dense"], float] = {"dense": dense}
    sizes |= {name: _size(name, elements, bits, density) for name in formats}
    best = min(sizes, key=lambda name: sizes[name])
    return sizes[best], best


def _size(name: Format, elements: int, bits: int, density: float) -> float:
    nonzeros = elements * density
    if name == "bitmask":
        return elements + nonzeros * bits
    if name == "coordinate":
        return nonzeros * (bits + max(1, math.ceil(math.log2(elements))))
    if name == "csc":
        return _pairs(nonzeros, density, COUNT_BITS) * (bits + COUNT_BITS)
    pair = bits + RUN_BITS
    pairs = _pairs(nonzeros, density, RUN_BITS)
    if name == "run_length" or pair >= PACK_BITS:
        return pairs * pair
    return pairs * PACK_BITS / ((PACK_BITS - 1) // pair)


def _pairs(nonzeros: float, density: float, run_bits: int) -> float:
    """Expected (run, value) pairs: a run holds up to 2^b - 1 zeros; longer ones start a stored filler."""
    longest: int = 2**run_bits
    return nonzeros * (1 + (1 - density) ** longest / (1 - (1 - density) ** longest))


def compression(elements: int, bits: int, density: float, formats: tuple[Format, ...] = ANY_FORMAT) -> float:
    """Stored size over dense size, in (0, 1]."""
    return stored_bits(elements, bits, density, formats)[0] / (elements * bits)


def nm_compression(bits: int, kept: int, block: int) -> float:
    """Stored over dense size of `kept` non-zeros in every `block` elements, each with its index in the block.

    The index takes ceil(log2(block)) bits: 2 for 2:4 (Mishra et al., arXiv:2104.08378, section 3). Never above 1:
    a pattern whose indices cost more than its zeros save is stored dense.
    """
    index = math.ceil(math.log2(block)) if block > 1 else 0
    return min(1.0, kept * (bits + index) / (block * bits))
