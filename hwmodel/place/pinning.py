"""The compiled part of weights that stay between inferences: which layers find theirs in the resident memory.

What stays is there at every step, whatever runs, so the memory is divided once: an *area* for weights, a number of
`PARTS`-ths of the memory, and the rest for tensors and tiles. Within the area a *pinned* weight takes

    units = ceil(stored bits * UNITS / area)

of the `UNITS` that the area has, and none at all where all weights fit it together. The placement goes through the
order with a *lane* for every number of units taken so far: a layer moves on in its lane with its weights outside,
or comes from the lane that has so many units less, with its weights inside. Of two ways into a lane the better one
goes on, so the result is the optimum over all sets of pinned weights and all placements, for that rounding
(Lemma 18 of docs/explain/mapper.md).

A weight that several layers read is pinned for all of them or for none, before the first step
(`hwmodel.place.division`). Layers that run in stripes read theirs from outside, or load them for the time of the
group, pinned or not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.place.hopes import score_or_hope
from hwmodel.place.tables import Choices
from hwmodel.place.telling import FLOOR, W_INSIDE, Flags, Told, tell

#: The area for weights is a number of these parts of the resident memory, and is counted in so many units.
PARTS, UNITS = 16, 128
#: What may become of the weights of a layer: they are read from outside; either; or they are in the area already.
OUTSIDE, EITHER, THERE = range(3)


class Weights(NamedTuple):
    """The weights of a network that may stay.

    Attributes:
        bits: (L, C) stored weights of a layer at a choice in the resident memory [bit].
        first: (L) the first layer that reads the same weight, -1 where it may not stay.
        shared: (H) first readers of the weights that several layers read.
    """

    bits: Floats
    first: Ints
    shared: Ints


class Pins(NamedTuple):
    """Weights that stay, while B lanes or candidates are placed and summed.

    Attributes:
        may: (L) OUTSIDE, EITHER or THERE.
        units: (L) that the weights of a layer take.
        start: (B) score of every lane before the first step, infinite where no placement begins.
        area: (B) kept for weights [bit].
        took: (L, S, B) of every state the lane was reached by pinning the weights of the layer; none where no
            weights may stay.
        pinned: (L, B) W_INSIDE where the weights of a layer stay, else 0.
    """

    may: Ints
    units: Ints
    start: Floats
    area: Floats
    took: Flags
    pinned: Ints


@internal
def pin_or_not(
    choices: Choices, told: Told, lacks: Flags, row: int, situation: int, room: int, objective: int, leakage: float,
    pins: Pins, layer: int, state: int, scores: Floats, ties: Floats,
) -> None:  # fmt: skip
    """A layer runs in every lane of a state, with its weights outside or inside.

    Args:
        row, situation, room: of its price; the situation with its weights outside.
        scores, ties: (B) of the state.
    """
    lanes, units, took = scores.shape[0], pins.units[layer], pins.took[layer, state]
    outside, outside_tie, inside, inside_tie = np.inf, 0.0, np.inf, 0.0
    some = False
    for lane in range(lanes):
        some = some or scores[lane] < np.inf
    if not some:
        return
    if pins.may[layer] != THERE:
        outside, outside_tie = _score(choices, told, lacks, row, situation, room, objective, leakage)
    if units < lanes:
        inside, inside_tie = _score(choices, told, lacks, row, situation | W_INSIDE, room, objective, leakage)
    for lane in range(lanes - 1, -1, -1):
        score, tie, origin = scores[lane] + outside, ties[lane] + outside_tie, lane - units
        took[lane] = False
        if origin >= 0:
            other, other_tie = scores[origin] + inside, ties[origin] + inside_tie
            if other < score or (other == score and other < np.inf and other_tie < tie):
                score, tie, took[lane] = other, other_tie, True
        scores[lane], ties[lane] = score, tie


@internal
def _score(
    choices: Choices, told: Told, lacks: Flags, row: int, situation: int, room: int, objective: int, leakage: float
) -> tuple[float, float]:
    """Score and tie of a layer, bounds where it has no price."""
    if row < 0:
        return 0.0, 0.0
    score, tie, is_known = score_or_hope(choices, row, situation, room, objective, leakage)
    if not is_known and np.isnan(choices.floors[row, situation, 0]):
        lacks[0] = True
        tell(told, FLOOR, row, 0, 0, 0)
    return score, tie
