"""First fills and last drains: what goes before and after each metric of a mapping (`hwmodel.price.lines`)."""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import (
    BUFFER,
    INPUT,
    INSIDE_BUFFER,
    INSIDE_PE,
    OUTER_READS,
    OUTER_WRITES,
    OUTPUT,
    PE,
    WAITS,
    WEIGHT,
    Floats,
    Ints,
    NestInputs,
    distinct_tiles,
    irrelevant,
    product,
    tile_words,
)


@internal
def hop(nest: NestInputs, level: int, operand: int, words: float, different: float) -> float:
    """Cycles of the first fill (last drain) of one tile at PE or buffer."""
    slower: float = max(nest.edges.far[level, operand] * different, nest.edges.near[level, operand])
    return words * slower


@internal
def fill_edges(
    nest: NestInputs,
    level: int,
    words: tuple[float, float, float],
    different: tuple[float, float, float],
    row: Floats,
) -> None:
    """Fills row (M) with what goes before and after each metric at PE or buffer; at WAITS that of the array.

    words: of the tiles of W, I and O; different: tiles of each among the PEs.
    """
    fills, doubled = 0.0, 0.0
    for x in (WEIGHT, INPUT):
        time = hop(nest, level, x, words[x], different[x])
        fills, doubled = fills + time, doubled + time * nest.edges.double[level, x]
    drain = hop(nest, level, OUTPUT, words[OUTPUT], different[OUTPUT])
    apart = drain * nest.edges.apart[level, OUTPUT]
    within = drain if level == PE and nest.holds[BUFFER, OUTPUT] else 0.0
    row[0], row[WAITS] = 0.0, doubled + apart
    for k in range(WAITS + 1, len(row)):
        own = words[WEIGHT] * nest.edges.own[k, level, WEIGHT] + words[INPUT] * nest.edges.own[k, level, INPUT]
        kind, row[k] = nest.kind[k], 0.0
        if kind == INSIDE_PE or (kind == INSIDE_BUFFER and level == BUFFER):
            row[k] = doubled + apart - own
        elif kind == OUTER_READS:
            row[k] = drain
        elif kind == OUTER_WRITES:
            row[k] = fills + within


@compiled
def pair_edges(nest: NestInputs, registers: Ints, unrollings: Ints, pairs: Ints) -> Floats:
    """What goes before and after each metric inside the buffer, per pair. (P, M)"""
    out = np.empty((pairs.shape[0], nest.cost.shape[0]))
    for p in range(pairs.shape[0]):
        r, s = registers[pairs[p, 0]], unrollings[pairs[p, 1]]
        pes = product(s)
        words = (
            float(tile_words(WEIGHT, r, nest.pace)),
            float(tile_words(INPUT, r, nest.pace)),
            float(tile_words(OUTPUT, r, nest.pace)),
        )
        different = (
            float(pes // irrelevant(WEIGHT, s)),
            float(distinct_tiles(INPUT, nest.networks[pairs[p, 1]], r, nest.pace)),
            float(pes // irrelevant(OUTPUT, s)),
        )
        fill_edges(nest, PE, words, different, out[p])
    return out
