"""The compiled search of the mapper: branch and bound over pairs, buffer tiles and orders.

What cannot beat the incumbent by its bound (`hwmodel.mapper.bounds`) is dropped before anything is counted exactly;
the rest is visited by rising bound. The result is the optimum of the whole space.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from hwmodel.mapper.bounds import BASE, CONSTANT, FULL, IDLE, PES, REST, SLOPE, rest, tile_factors
from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import (
    BUFFER,
    INPUT,
    OUTER_WRITES,
    OUTPUT,
    OY,
    PE,
    PSUM,
    RELEVANT,
    WEIGHT,
    ZERO,
    Floats,
    Ints,
    NestInputs,
    array_cycles,
    irrelevant,
    moves,
    product,
    tile_words,
)
from hwmodel.mapper.dividing import dividing, divisor_masks, divisors_of
from hwmodel.mapper.edges import fill_edges
from hwmodel.mapper.scores import ENERGY, LATENCY, SLACK, end_cycles, score_of, whole

#: What `search` finds: indices of the register tile, unrolling, buffer tile and orders; candidates counted exactly.
REGISTERS, UNROLLING, TILE, INNER, OUTER, COUNTED = range(6)
#: Whether a pair sums all that its outputs need, as arguments: plain True and False would be types of their own.
UNFINISHED, FINISHED = cast(tuple[bool, bool], tuple(np.array([False, True])))


@internal
def _fits(nest: NestInputs, t: Ints, finished: bool) -> bool:
    """The buffer holds a tile (O at `acc` while unfinished). finished: a pair sums all that its outputs need.

    Outputs that lie in the buffer whole are unfinished where sums return to them.
    """
    returned = not finished
    if nest.holds[BUFFER, OUTPUT]:
        returned = irrelevant(OUTPUT, nest.bounds) != irrelevant(OUTPUT, t)
    elif not nest.holds[PE, OUTPUT]:
        returned = True
    for memory in range(3):
        need = nest.unfinished[memory] if returned else 0.0
        for x in range(3):
            if nest.holds[BUFFER, x] and nest.memory[BUFFER, x] == memory:
                width = nest.widths[x]
                if x == OUTPUT and (not nest.holds[PE, x] or not finished):
                    width = nest.widths[PSUM]
                need += tile_words(x, t, nest.pace) * width
        if need > nest.capacity[memory]:
            return False
    return True


@internal
def _exchange(nest: NestInputs, t: Ints, n: Ints, held: Floats, words: Floats) -> None:
    """Fills words (orders, 3) with what a buffer tile t under the loops n exchanges with DRAM; held (5): of I."""
    ones, full = np.ones(8, np.int64), float(product(n))
    for x in range(3):
        size = tile_words(x, t, nest.pace)
        for o in range(words.shape[0]):
            order = nest.outer[o]
            words[o, x] = size * moves(x, t, order, ones, t, order, n, t, nest.pace, full)
            if x == INPUT:
                words[o, x] *= held[_slides(order, n)]


@internal
def _slides(order: Ints, n: Ints) -> int:
    """Column of `held_shares`: the innermost of the loops n where it slides a window of I, else 0."""
    for k in range(7, -1, -1):
        dim = order[k]
        if n[dim] > 1:
            return dim - OY + 1 if dim >= OY else 0
    return 0


@internal
def _bound(
    first: int,
    last: int,
    lines: Floats,
    sizes: Ints,
    own: tuple[int, int, int],
    others: tuple[int, int, int],
    irr: tuple[int, int, int],
    least: Floats,
    values: Floats,
) -> None:
    """Fills values from a first to before a last metric with lower bounds of one pair in one tile."""
    for k in range(first, last):
        value = np.inf
        for c in range(3):
            around = irr[c] if sizes[REST + c] == others[c] else own[c]
            value = min(value, lines[k, BASE + c] + lines[k, SLOPE + c] / around)
        values[k] = value + least[k]


@internal
def outer_stay(order: Ints, n: Ints) -> float:
    """Iterations of the loops n in which a tile of O stays, being worked on."""
    stay = 1
    for k in range(7, -1, -1):
        dim = order[k]
        if n[dim] > 1 and RELEVANT[OUTPUT, dim] == 1:
            break
        stay *= n[dim]
    return float(stay)


@compiled
def search(
    nest: NestInputs,
    objective: int,
    num_metrics: int,
    registers: Ints,
    unrollings: Ints,
    pairs: Ints,
    lines: Floats,
    scores: Floats,
    sizes: Ints,
    edges: Floats,
    shares: Floats,
    tiles: Ints,
    held: Floats,
    keys: Floats,
    limits: tuple[float, float],
) -> tuple[float, float, Ints]:
    """The best candidate: energy [pJ], cycles, and its indices.

    Args:
        nest: the layer on the hierarchy.
        objective: ENERGY, LATENCY or EDP. For LATENCY the first one of the fewest cycles is found: which of them
            takes the least energy is for a search for ENERGY within these cycles.
        num_metrics: metrics that enter the bounds.
        registers, unrollings: (R, 8), (S, 8).
        pairs, lines, scores, sizes, edges: from `join`, `pair_sizes` and `pair_edges`, by rising score.
        shares: (P) of the steps that skipping leaves to a pair.
        tiles, held, keys: (T, 8), of `held_shares` (T, 5), and their lower bounds (T), rising.
        limits: a score and cycles to be at or below.

    Returns:
        Energy and cycles (infinite where nothing is as good as the limits), and the columns REGISTERS to COUNTED.
    """
    best = np.full(COUNTED + 1, -1, np.int64)
    best[COUNTED] = 0
    best_pj, best_cycles, best_score, best_tie = np.inf, np.inf, limits[0], np.inf
    cutoff, factors = limits[0] * (1 + SLACK), tile_factors(nest)
    pace, bounds, all_metrics = nest.pace, nest.bounds, lines.shape[1]
    irr = (irrelevant(WEIGHT, bounds), irrelevant(INPUT, bounds), irrelevant(OUTPUT, bounds))
    a, m, n = np.empty(8, np.int64), np.empty(8, np.int64), np.empty(8, np.int64)
    share, values, least = np.empty(3), np.zeros(all_metrics), np.empty(all_metrics)
    edge_t, edge, around = np.empty(all_metrics), np.empty(all_metrics), np.empty(nest.outer.shape[0])
    repeats = np.zeros(nest.outer.shape[0], np.bool_)
    words, far = np.empty((nest.outer.shape[0], 3)), np.empty((nest.outer.shape[0], all_metrics))
    divisors, able, reach = divisors_of(bounds), np.empty(pairs.shape[0], np.int64), pairs.shape[0]
    masks = divisor_masks(nest, divisors, registers, unrollings, pairs)
    for q in range(tiles.shape[0]):
        if keys[q] > cutoff:
            break
        t = tiles[q]
        fits = (_fits(nest, t, UNFINISHED), _fits(nest, t, FINISHED))
        if not fits[0] and not fits[1]:
            continue
        own = (irrelevant(WEIGHT, t), irrelevant(INPUT, t), irrelevant(OUTPUT, t))
        others = (rest(WEIGHT, t), rest(INPUT, t), rest(OUTPUT, t))
        for d in range(8):
            n[d] = bounds[d] // t[d]
        _exchange(nest, t, n, held[q], words)
        size = (
            float(tile_words(WEIGHT, t, pace)),
            float(tile_words(INPUT, t, pace)),
            float(tile_words(OUTPUT, t, pace)),
        )
        fill_edges(nest, BUFFER, size, (1.0, 1.0, 1.0), edge_t)
        iterations = float(product(n))
        least[:] = np.inf
        for o in range(words.shape[0]):
            repeats[o], around[o] = False, outer_stay(nest.outer[o], n)
            for before in range(o):
                same = around[before] == around[o]
                for x in range(3):
                    same = same and words[before, x] == words[o, x]
                repeats[o] = repeats[o] or same
            for k in range(all_metrics):
                far[o, k] = factors[k, 0] * words[o, 0] + factors[k, 1] * words[o, 1] + factors[k, 2] * words[o, 2]
                least[k] = min(least[k], far[o, k])
        while reach > 0 and scores[reach - 1] > cutoff:
            reach -= 1
        for candidate in range(dividing(divisors, masks, t, reach, able)):
            p = able[candidate]
            if scores[p] > cutoff:
                break
            if not (fits[1] if sizes[p, IDLE + OUTPUT] == irr[2] else fits[0]):
                continue
            compute = array_cycles(nest, sizes[p, PES], shares[p])
            carried = (
                others[0] == sizes[p, REST],
                others[1] == sizes[p, REST + 1],
                others[2] == sizes[p, REST + 2],
            )
            carries = carried[0] or carried[1] or carried[2]
            _bound(ZERO, num_metrics, lines[p], sizes[p], own, others, irr, least, values)
            cycles = end_cycles(values, edge_t, compute, num_metrics) if num_metrics > 1 else compute
            cycles = max(cycles, nest.least_cycles)
            score = score_of(objective, values[0], cycles)
            if score > cutoff or whole(cycles) > limits[1]:
                continue
            is_tied = score >= best_score * (1 - SLACK)  # at best
            if num_metrics > 1 or is_tied:
                if num_metrics == 1:
                    _bound(num_metrics, all_metrics, lines[p], sizes[p], own, others, irr, least, values)
                known = num_metrics if num_metrics > 1 else all_metrics
                for k in range(1, known):
                    edge[k] = edge_t[k] + edges[p, k] + nest.edges.stays[k] * compute / iterations
                cycles = whole(max(end_cycles(values, edge, compute, known), nest.least_cycles))
                if cycles > limits[1] or score_of(objective, values[0], cycles) > cutoff:
                    continue
                if is_tied and cycles >= best_tie:
                    continue
            r = registers[pairs[p, 0]]
            for d in range(8):
                a[d] = r[d] * unrollings[pairs[p, 1], d]
            iteration = compute / iterations
            for d in range(8):
                m[d] = t[d] // a[d]
            for i in range(nest.inner.shape[0]):
                inner = nest.inner[i]
                for o in range(nest.outer.shape[0]):
                    if repeats[o] and not carries:  # another order at DRAM does the same
                        continue
                    outer = nest.outer[o]
                    if o == 0 or carried[0]:
                        share[0] = moves(WEIGHT, r, inner, m, a, outer, n, t, pace, 1.0)
                    if o == 0 or carried[1]:
                        share[1] = moves(INPUT, r, inner, m, a, outer, n, t, pace, 1.0)
                    if o == 0 or carried[2]:
                        share[2] = moves(OUTPUT, r, inner, m, a, outer, n, t, pace, 1.0)
                    best[COUNTED] += 1
                    energy = lines[p, 0, CONSTANT] + far[o, 0]
                    for x in range(3):
                        energy += lines[p, 0, FULL + x] * share[x]
                    if objective == ENERGY and energy > cutoff:
                        continue
                    for k in range(1, all_metrics):
                        values[k] = lines[p, k, CONSTANT] + far[o, k]
                        for x in range(3):
                            values[k] += lines[p, k, FULL + x] * share[x]
                    for k in range(1, all_metrics):
                        stay = around[o] if nest.kind[k] == OUTER_WRITES else 1.0
                        edge[k] = edge_t[k] + edges[p, k] + nest.edges.stays[k] * stay * iteration
                    cycles = max(end_cycles(values, edge, compute, all_metrics), nest.least_cycles)
                    cycles = whole(cycles)
                    score = score_of(objective, energy, cycles)
                    if cycles > limits[1] or score > cutoff:
                        continue
                    if score < best_score * (1 - SLACK) or cycles < best_tie:
                        best_score, best_tie, best_pj, best_cycles = min(score, best_score), cycles, energy, cycles
                        cutoff = best_score * ((1 - SLACK) if objective == LATENCY else (1 + SLACK))
                        best[REGISTERS], best[UNROLLING] = pairs[p, 0], pairs[p, 1]
                        best[TILE], best[INNER], best[OUTER] = q, i, o
    return best_pj, best_cycles, best
