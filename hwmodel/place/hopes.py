"""What a layer without a price may be hoped to cost, so that most layers in most situations never need one.

The placement takes a lower bound where there is no price yet, and asks for the prices on the way that is the best
with that, until it has them all: every other way costs no less than its bounds, and these are no better (Lemma 20
of docs/explain/mapper.md). At equal scores what is not known goes first, so that the way found in the end is the
one that would be found if everything had a price. Only for cycles, which add exactly, a bound has a tie of its own.
"""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats
from hwmodel.mapper.scores import EDP, ENERGY, LATENCY
from hwmodel.place.tables import Choices
from hwmodel.place.telling import BOUND, PRICE, Told, score_of, tell

#: Columns of a floor: the least energy [pJ] and cycles, whatever the mapping; and 1 where a price for more room
#: bounds those for less, and where the mapper's own bound is among the first two. NaN where they are not known yet.
LEAST_PJ, LEAST_CYCLES, BOUNDS_LESS, IS_SHARP, FLOORS = range(5)
#: What rounding may take from a bound.
NEARLY = 1 - 1e-9


@internal
def floor_of(floor: Floats, objective: int, leakage: float) -> float:
    """A lower bound of the score in a situation; 0 where its floor is not known."""
    if np.isnan(floor[LEAST_PJ]):
        return 0.0
    return score_of(objective, floor[LEAST_PJ] + leakage * floor[LEAST_CYCLES], floor[LEAST_CYCLES])


@internal
def score_or_hope(
    choices: Choices, row: int, situation: int, room: int, objective: int, leakage: float
) -> tuple[float, float, bool]:
    """Score and tie of a layer, and whether it has a price; else lower bounds of them.

    Mappings for less room are among those for more, so that what they minimise is no less than there (Lemma 13).
    """
    prices, floor = choices.prices[row, situation], choices.floors[row, situation]
    energy, cycles = prices[room, 0], prices[room, 1]
    if energy == np.inf:
        return np.inf, 0.0, True
    if not np.isnan(energy):
        energy += leakage * cycles
        return score_of(objective, energy, cycles), cycles if objective == ENERGY else energy, True
    if floor[BOUNDS_LESS] > 0:
        for larger in range(room - 1, -1, -1):
            energy, cycles = prices[larger, 0], prices[larger, 1]
            if np.isnan(energy):
                continue
            if objective == LATENCY:
                return cycles, NEARLY * energy + leakage * cycles, False
            least = leakage * floor[LEAST_CYCLES]
            if objective == EDP:
                return NEARLY * energy * cycles + least * floor[LEAST_CYCLES], -np.inf, False
            return NEARLY * energy + least, -np.inf, False
    tie = floor[LEAST_PJ] + leakage * floor[LEAST_CYCLES] if objective == LATENCY else -np.inf
    return floor_of(floor, objective, leakage), -np.inf if np.isnan(tie) else tie, False


@internal
def ask(choices: Choices, told: Told, row: int, situation: int, room: int) -> None:
    """Tells what lacks first of a price: the mapper's bound, then the price for all of the room, which bounds the
    others."""
    floor, is_new = choices.floors[row, situation], np.isnan(choices.prices[row, situation, 0, 0])
    if floor[IS_SHARP] == 0 and is_new:
        tell(told, BOUND, row, situation, 0, 0)
    else:
        tell(told, PRICE, row, situation, 0 if floor[BOUNDS_LESS] > 0 and is_new else room, 0)
