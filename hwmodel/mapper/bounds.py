"""Lower bounds for the mapper: of unrollings, of pairs (register tile, unrolling) and of buffer tiles.

At one level only one operand gains from the order: the dims that do not index W (B, OY, OX), I (K) and O (C, FY,
FX) are disjoint. So with A = r * s a metric inside the buffer's tile T is at least

    constant + sum_x F_x - F_c * (1 - A_c / U_c)      for one operand c,

where F_x is what operand x costs without reuse, A_c and U_c are the parts of A and T over the dims that do not
index c: a line in 1/U_c per pair. Where the buffer's loops leave all of c in place, reuse goes on into the loops of
DRAM and U_c is that part of the layer's bounds. The exchange of a tile with DRAM is bounded in the same way.
Proofs: Lemmas 4 to 9 of docs/explain/mapper.md.
"""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import (
    ALWAYS,
    FAR,
    FX,
    FY,
    INPUT,
    NEAR,
    ONE,
    OUTPUT,
    OX,
    OY,
    RELEVANT,
    WAITS,
    WEIGHT,
    ZERO,
    B,
    C,
    Floats,
    G,
    Ints,
    K,
    NestInputs,
    array_cycles,
    coefficients,
    distinct_tiles,
    fresh_part,
    irrelevant,
    least_share,
    product,
    tile_words,
)
from hwmodel.mapper.scores import EDP, ENERGY, LATENCY, SLACK, busy_cycles, score_of, whole

#: Positions of the dims that do not index W, I and O.
IRRELEVANT = tuple(np.flatnonzero(row == 0) for row in RELEVANT)
#: Columns of a line, the cost of a pair (register tile, unrolling) in one metric. Per operand that may gain from
#: the order: all but its words, and its words times their reuse. What it costs whatever moves. Per operand: words.
BASE, SLOPE, CONSTANT, FULL, NUM_COLUMNS = 0, 3, 6, 7, 10
#: Columns of the sizes of a pair: the parts of A over the dims that do not, and that do, index W, I, O; its PEs.
IDLE, REST, PES = 0, 3, 6
_HASH = 4093
_RATIO = 1.2


@internal
def tile_factors(nest: NestInputs) -> Floats:
    """What a word between buffer and DRAM costs in every metric. (M, 3)"""
    factors, three = np.empty((nest.cost.shape[0], 3)), np.empty(3)
    for k in range(factors.shape[0]):
        for x in range(3):
            coefficients(nest, k, x, ONE, ONE, three)
            factors[k, x] = three[FAR]
    return factors


@compiled
def price_tiles(nest: NestInputs, num_metrics: int, tiles: Ints, held: Floats) -> Floats:
    """Lower bounds of every metric of the exchange of buffer tiles (T, 8) with DRAM. (T, M); held: `held_shares`

    As inside the tile, one operand gains from the order; I may slide by whichever dim gains most (Lemma 4 of
    docs/explain/mapper.md).
    """
    factors, b, pace = tile_factors(nest), nest.bounds, nest.pace
    out, f = np.zeros((tiles.shape[0], factors.shape[0])), np.empty(3)
    total = float(product(b))
    irr = (float(irrelevant(WEIGHT, b)), float(irrelevant(INPUT, b)), float(irrelevant(OUTPUT, b)))
    for q in range(tiles.shape[0]):
        t = tiles[q]
        around, slide = total / product(t), held[q, 0]
        for dim in range(OY, FX + 1):
            if t[dim] != b[dim]:
                share = t[dim] / b[dim]
                moved = share + (1.0 - share) * fresh_part(dim, t, t[dim], pace)
                slide = min(slide, moved * held[q, dim - OY + 1])
        keep = (
            1.0 - irrelevant(WEIGHT, t) / irr[0],
            1.0 - irrelevant(INPUT, t) / irr[1],
            1.0 - irrelevant(OUTPUT, t) / irr[2],
        )
        words = (
            around * tile_words(WEIGHT, t, pace),
            around * slide * tile_words(INPUT, t, pace),
            around * tile_words(OUTPUT, t, pace),
        )  # fmt: skip
        for k in range(num_metrics):
            gain = 0.0
            for x in range(3):
                f[x] = factors[k, x] * words[x]
                gain = max(gain, f[x] * keep[x])
            out[q, k] = f[0] + f[1] + f[2] - gain
    return out


@compiled
def bound_unrollings(nest: NestInputs, num_metrics: int, unrollings: Ints) -> Floats:
    """Lower bounds of every metric inside the buffer's tile, whatever the register tile is (Lemma 8). (S, M)"""
    b = nest.bounds
    three, values = np.empty(3), np.zeros((unrollings.shape[0], nest.cost.shape[0]))
    least = (
        float(b[G] * b[K] * b[C] * b[FY] * b[FX]),
        float(b[B] * b[G] * b[C] * max(b[OY], b[FY]) * max(b[OX], b[FX])),
        float(b[B] * b[G] * b[K] * b[OY] * b[OX]),
    )
    for i in range(unrollings.shape[0]):
        s = unrollings[i]
        num_pes = product(s)
        for k in range(num_metrics):
            values[i, k] = nest.base_pj if k == 0 else 0.0
            for x in range(3):
                most = num_pes // irrelevant(x, s)
                few = most
                if x == INPUT:  # at least out + filter - 1 different starts per axis
                    few = s[B] * s[G] * s[C] * (s[OY] + s[FY] - 1) * (s[OX] + s[FX] - 1)
                coefficients(nest, k, x, num_pes, few, three)
                values[i, k] += three[ALWAYS] + three[NEAR] * least[x] / most
    return values


def bound_branch(
    nest: NestInputs, objective: int, unrollings: Ints, bounds_s: Floats, least_tile: Floats, most_cycles: float
) -> float:
    """A lower bound of the score: the best unrolling, and the least exchange with DRAM, metric by metric."""
    values = bounds_s + least_tile
    least = min(1.0, float(nest.skipped.min()))
    total = float(nest.bounds.prod())
    steps = np.full(len(unrollings), nest.array_steps) if nest.array_steps else total / unrollings.prod(axis=1)
    cycles = np.ceil(steps * (least * nest.balanced) / nest.rate * (1.0 - SLACK))
    cycles = np.maximum(cycles + np.maximum(values[:, WAITS], 0.0), values[:, WAITS + 1 :].max(axis=1, initial=0.0))
    cycles = np.ceil(np.maximum(cycles, nest.least_cycles) * (1.0 - SLACK))
    scores = {ENERGY: values[:, 0], LATENCY: cycles, EDP: values[:, 0] * cycles}[objective]
    return float(np.min(scores, where=cycles <= most_cycles, initial=np.inf))


@internal
def _multiply(bounds: Ints, s: Ints, r: Ints, a: Ints) -> bool:
    """Fills a with s * r; False where it does not divide the bounds."""
    for d in range(8):
        a[d] = s[d] * r[d]
        if bounds[d] % a[d] != 0:
            return False
    return True


@internal
def _factors(nest: NestInputs, operand: int, num_pes: int, distinct: int, factors: Floats) -> None:
    """Fills factors (M, 3, 3) of one operand."""
    for k in range(factors.shape[0]):
        coefficients(nest, k, operand, num_pes, distinct, factors[k, operand])


@internal
def _slide(nest: NestInputs, r: Ints, a: Ints) -> float:
    """The least share of a register tile of I that moves, whichever dim is innermost around it."""
    slide = 1.0
    for dim in range(OY, FX + 1):
        if a[dim] != nest.bounds[dim]:
            share = a[dim] / nest.bounds[dim]
            slide = min(slide, share + (1.0 - share) * fresh_part(dim, r, a[dim], nest.pace))
    return slide


@internal
def _pair(nest: NestInputs, first: int, last: int, factors: Floats, r: Ints, a: Ints, lines: Floats) -> None:
    """Fills lines (M, NUM_COLUMNS) of the metrics from first to before last (Lemma 5); factors (M, 3, 3)."""
    full, slide = product(nest.bounds) / product(a), _slide(nest, r, a)
    words = (
        tile_words(WEIGHT, r, nest.pace),
        tile_words(INPUT, r, nest.pace),
        tile_words(OUTPUT, r, nest.pace),
    )
    whole_k = irrelevant(INPUT, nest.bounds) == irrelevant(INPUT, a)
    for k in range(first, last):
        constant = factors[k, WEIGHT, ALWAYS] + factors[k, INPUT, ALWAYS] + factors[k, OUTPUT, ALWAYS]
        constant += nest.base_pj if k == 0 else 0.0
        w, i, o = (
            factors[k, WEIGHT, NEAR] * words[0] * full,
            factors[k, INPUT, NEAR] * words[1] * full,
            factors[k, OUTPUT, NEAR] * words[2] * full,
        )  # fmt: skip
        line = lines[k]
        line[BASE + WEIGHT], line[SLOPE + WEIGHT] = constant + i * slide + o, w * irrelevant(WEIGHT, a)
        line[BASE + INPUT] = constant + w + o
        line[SLOPE + INPUT] = i * irrelevant(INPUT, a) * (slide if whole_k else 1.0)
        line[BASE + OUTPUT], line[SLOPE + OUTPUT] = constant + w + i * slide, o * irrelevant(OUTPUT, a)
        line[CONSTANT], line[FULL + WEIGHT], line[FULL + INPUT], line[FULL + OUTPUT] = constant, w, i, o


@compiled
def join(
    nest: NestInputs,
    objective: int,
    num_metrics: int,
    registers: Ints,
    unrollings: Ints,
    bounds_s: Floats,
    least_tile: Floats,
    limits: tuple[float, float],
    pairs: Ints,
    lines: Floats,
    scores: Floats,
) -> int:
    """Writes the pairs (register tile, unrolling) that may win, and gives their number.

    bounds_s (S, M) and least_tile (M): lower bounds of the unrollings and of the exchange with DRAM; limits: the
    score and the cycles to be at or below. Written, as far as there is room: indices (P, 2), lines
    (P, M, NUM_COLUMNS), the lower bounds of their scores (P).
    """
    room, count = len(scores), 0
    num_all = lines.shape[1]
    spare = np.empty((num_all, NUM_COLUMNS))
    a, values, factors = np.empty(8, np.int64), np.zeros(num_all), np.empty((num_all, 3, 3))
    irr = (irrelevant(WEIGHT, nest.bounds), irrelevant(INPUT, nest.bounds), irrelevant(OUTPUT, nest.bounds))
    few = min(1.0, nest.skipped[0], nest.skipped[1], nest.skipped[2]) * nest.balanced
    for j in range(unrollings.shape[0]):
        s = unrollings[j]
        compute = array_cycles(nest, product(s), few)
        for k in range(len(values)):
            values[k] = bounds_s[j, k] + least_tile[k]
        cycles = max(busy_cycles(values, compute, num_metrics), nest.least_cycles)
        if whole(cycles) > limits[1] or score_of(objective, values[0], cycles) > limits[0]:
            continue
        for x in (WEIGHT, OUTPUT):  # their tiles across the PEs do not depend on the register tile
            _factors(nest, x, product(s), product(s) // irrelevant(x, s), factors)
        different = -1  # tiles of I across the PEs, as the factors have it
        for i in range(registers.shape[0]):
            if not _multiply(nest.bounds, s, registers[i], a):
                continue
            row = lines[count] if count < room else spare
            if few < 1.0:
                compute = array_cycles(nest, product(s), least_share(nest, registers[i]))
            distinct = distinct_tiles(INPUT, nest.networks[j], registers[i], nest.pace)
            if distinct != different:
                different = distinct
                _factors(nest, INPUT, product(s), distinct, factors)
            _pair(nest, ZERO, num_metrics, factors, registers[i], a, row)
            for k in range(num_metrics):
                line = row[k]
                values[k] = np.inf
                for x in range(3):
                    values[k] = min(values[k], line[BASE + x] + line[SLOPE + x] / irr[x])
                values[k] += least_tile[k]
            cycles = max(busy_cycles(values, compute, num_metrics), nest.least_cycles)
            score = score_of(objective, values[0], cycles)
            if score > limits[0] or whole(cycles) > limits[1]:
                continue
            if count < room:
                _pair(nest, num_metrics, num_all, factors, registers[i], a, row)
                pairs[count, 0], pairs[count, 1], scores[count] = i, j, score
            count += 1
    return count


@internal
def rest(operand: int, t: Ints) -> int:
    return product(t) // irrelevant(operand, t)


@compiled
def pair_tiles(nest: NestInputs, registers: Ints, unrollings: Ints, pairs: Ints) -> Ints:
    """Per pair the words of a PE's tile of W and I, its MACs, the different tiles of W and I, and PEs. (P, 6)"""
    out = np.empty((pairs.shape[0], 6), np.int64)
    for p in range(pairs.shape[0]):
        r, s = registers[pairs[p, 0]], unrollings[pairs[p, 1]]
        macs, pes = product(r), product(s)
        out[p, 0], out[p, 1], out[p, 2] = macs // irrelevant(WEIGHT, r), macs // irrelevant(INPUT, r), macs
        out[p, 3], out[p, 5] = pes // irrelevant(WEIGHT, s), pes
        out[p, 4] = distinct_tiles(INPUT, s.reshape((1, 8)), r, nest.pace)  # one network: zeros know no wires
    return out


def pair_sizes(registers: Ints, unrollings: Ints, pairs: Ints) -> Ints:
    """Per pair the columns IDLE, REST and PES. (P, 7)"""
    spread = unrollings[pairs[:, 1]]
    a = registers[pairs[:, 0]] * spread
    idle = [a[:, dims].prod(axis=1) for dims in IRRELEVANT]
    total = a.prod(axis=1)
    return np.stack([*idle, *(total // part for part in idle), spread.prod(axis=1)], axis=1)


@compiled
def bound_tiles(
    nest: NestInputs,
    objective: int,
    num_metrics: int,
    tiles: Ints,
    tile_values: Floats,
    lines: Floats,
    sizes: Ints,
    shares: Floats,
    most_cycles: float,
) -> Floats:
    """Lower bounds of the score of every buffer tile with its best pair (Lemmas 6 and 7 of the page). (T)

    sizes: from `pair_sizes`; shares: (P) of the steps that skipping leaves.
    """
    irr = (irrelevant(WEIGHT, nest.bounds), irrelevant(INPUT, nest.bounds), irrelevant(OUTPUT, nest.bounds))
    steps = 2 + int(np.log(float(max(irr[0], irr[1], irr[2]))) / np.log(_RATIO))
    envelope, carried = np.full((3, steps), np.inf), np.full((3, _HASH), np.inf)
    least, compute = np.full(num_metrics, np.inf), np.inf
    for p in range(lines.shape[0]):
        compute = min(compute, array_cycles(nest, sizes[p, PES], shares[p]))
        for k in range(num_metrics):
            line = lines[p, k]
            for c in range(3):
                least[k] = min(least[k], line[BASE + c] + line[SLOPE + c] / irr[c])
        for c in range(3):
            base, slope, u = lines[p, 0, BASE + c], lines[p, 0, SLOPE + c], 1.0
            spot = sizes[p, REST + c] % _HASH
            carried[c, spot] = min(carried[c, spot], base + slope / irr[c])
            for g in range(steps):
                if u * _RATIO > sizes[p, IDLE + c]:
                    envelope[c, g] = min(envelope[c, g], base + slope / min(u, irr[c]))
                u *= _RATIO
    out, values = np.empty(tiles.shape[0]), np.zeros(tile_values.shape[1])
    for q in range(tiles.shape[0]):
        energy = np.inf
        for c in range(3):
            own, g, u = irrelevant(c, tiles[q]), 0, 1.0
            while u < own:
                u *= _RATIO
                g += 1
            energy = min(energy, envelope[c, g], carried[c, rest(c, tiles[q]) % _HASH])
        for k in range(num_metrics):
            values[k] = tile_values[q, k] + least[k]
        values[0] = tile_values[q, 0] + energy
        cycles = max(busy_cycles(values, compute, num_metrics), nest.least_cycles)
        out[q] = score_of(objective, values[0], cycles) if whole(cycles) <= most_cycles else np.inf
    return out
