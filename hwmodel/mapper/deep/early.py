"""What a label comes to at least over a split, before the split is made (Lemma 23 of docs/explain/mapper.md)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwmodel.mapper.compiling import inlined, internal
from hwmodel.mapper.counting import Floats
from hwmodel.mapper.deep.hopes import RATES, SHARE, WAITING, WIDTH, here_of, hop_out, hope, rates_of
from hwmodel.mapper.deep.labels import NEXT
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.states import KINDS, Bounds, Here, Pool, States


class Early(NamedTuple):
    """The bounds of the splits of one level.

    Attributes:
        below: what the level below asks of labels.
        rates: (M, 3, RATES) of the hops out of the level below, as `rates_of`.
        floors: (N, M) what the labels of a tile come to by themselves.
        hops: (M) what the hops out of the level below and all outside of a split do.
        least: (M) what a label comes to over a split.
    """

    below: Here
    rates: Floats
    floors: Floats
    hops: Floats
    least: Floats


@internal
def early_of(ladder: Ladder, bounds: Bounds, level: int) -> Early:
    """Room for the bounds of a level, and what its labels have in common; the innermost one has no level below."""
    metrics, below = len(ladder.costs.kind), max(level - 1, 0)
    rates = np.empty((metrics, 3, RATES))
    for r in range(metrics if level else 0):
        rates_of(ladder, r, below, rates[r])
    return Early(
        here_of(ladder, bounds, below), rates, np.empty((64, metrics)), np.empty(metrics), np.empty(metrics)
    )


@internal
def at_labels(v: int, bounds: Bounds, states: States, pool: Pool, early: Early) -> Early:
    """With the floors of all labels at tile v of the level below."""
    floors, number, below = early.floors, 0, early.below
    opened = np.empty(3, np.int64)
    for kind in range(KINDS):
        node = states.tiles[kind, v]
        while node >= 0:
            if number == len(floors):
                more = np.empty((4 * number, floors.shape[1]))
                more[:number] = floors
                floors = more
            for operand in range(3):
                opened[operand] = kind >> operand & 1
            hope(below, pool.values[node], opened, v, bounds.reached, floors[number])
            for r in range(floors.shape[1]):
                floors[number, r] -= bounds.reached[r, below.level, v]
            node, number = pool.links[node, NEXT], number + 1
    return Early(below, early.rates, floors, early.hops, early.least)


@inlined
def at_split(ladder: Ladder, level: int, v: int, s: int, bounds: Bounds, early: Early) -> None:
    """Fills in what the hops out of the level below tile v and all outside of split s do at least."""
    own, parted, below = ladder.shape, ladder.splits, level - 1
    for r in range(len(early.hops)):
        rates = early.rates[r]
        for x in range(3):
            share = parted.share[s, x]
            rates[x, SHARE] = share * own.beyond[below, x] if share > 0.0 else own.shares[below, x]
        early.hops[r] = hop_out(rates, bounds.needed, below, v) + bounds.begun[r, level, v + ladder.offsets[s]]


@inlined
def over_split(ladder: Ladder, level: int, kind: int, s: int, number: int, x: Floats, early: Early) -> None:
    """Fills in what a label comes to at least over a split: hops that pass the level below meet their last split.

    number: of the label among those of its tile.
    """
    own, below = ladder.shape, level - 1
    early.least[:] = early.floors[number] + early.hops
    for operand in range(3):
        is_open = own.keep[below, operand] or kind >> operand & 1
        if not is_open and own.near_parent[level, operand] and not own.near_parent[below, operand]:
            for r in range(len(early.least)):
                early.least[r] += x[r * WIDTH + WAITING + operand] * ladder.splits.share[s, operand]
