"""The compiled placement of a network whose weights may stay: the resident memory divided in every way.

For every area of the memory for weights, and every set of the weights that several layers read, the layers are
placed with a lane for every number of units of the area that is taken (`hwmodel.place.pinning`); the best of all is
kept. An area that holds all weights is the last one to try.
"""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.place.kernel import place, trace_back
from hwmodel.place.pinning import EITHER, OUTSIDE, PARTS, THERE, UNITS, Pins, Weights
from hwmodel.place.stripes import Groups, Striped, Trials
from hwmodel.place.sums import sum_up
from hwmodel.place.tables import Block, Choices, Program, all_of, find_rows, tensor_bits, total
from hwmodel.place.telling import Told


@internal
def _sizes(weights: Weights, picks: Ints, sizes: Floats) -> None:
    """Fills what the weights of first readers take [bit]: as much as the one that needs most."""
    for layer in range(sizes.shape[0]):
        sizes[layer] = 0.0
    for layer in range(sizes.shape[0]):
        first = weights.first[layer]
        if first >= 0:
            sizes[first] = max(sizes[first], weights.bits[layer, picks[layer]])


@internal
def _divide(weights: Weights, sizes: Floats, area: float, subset: int, pins: Pins) -> int:
    """Fills what may become of the weights in an area of which a set of the shared ones takes its part.

    Returns:
        The lane that the placement begins in, UNITS + 1 or more where the set does not fit.
    """
    fits, start = total(sizes) <= area, 0
    for layer in range(sizes.shape[0]):
        pins.may[layer], pins.units[layer] = OUTSIDE, 0
        if weights.first[layer] == layer and area > 0:
            pins.may[layer], pins.units[layer] = EITHER, 0 if fits else int(np.ceil(sizes[layer] * UNITS / area))
    for n in range(weights.shared.shape[0]):
        first, is_there = weights.shared[n], (subset >> n) & 1 == 1
        if is_there:
            start += UNITS + 1 if area == 0 else pins.units[first]
        for layer in range(first, sizes.shape[0]):
            if weights.first[layer] == first:
                pins.may[layer], pins.units[layer] = THERE if is_there else OUTSIDE, 0
    return start


@internal
def _best_lane(scores: Floats, ties: Floats) -> int:
    best = 0
    for lane in range(1, scores.shape[0]):
        if scores[lane] < scores[best] or (scores[lane] == scores[best] and ties[lane] < ties[best]):
            best = lane
    return best


@internal
def _forget(block: Block, trials: Trials, pins: Pins) -> None:
    """Nothing lies inside, is pinned or runs in stripes."""
    for tensor in range(block.inside.shape[0]):
        block.inside[tensor, 0], trials.streamed[tensor, 0] = 0, False
    for layer in range(pins.pinned.shape[0]):
        pins.pinned[layer, 0], trials.fused[layer, 0] = 0, -1


@internal
def _best_division(
    program: Program, fusing: Groups, striped: Striped, choices: Choices, weights: Weights, block: Block,
    trials: Trials, pins: Pins, told: Told, objective: int, picks: Ints,
) -> None:  # fmt: skip
    """Fills what lies inside, is pinned and runs in stripes at the head of the lanes; picks (UNITS + 1, L)."""
    sizes, best, best_tie, kept = np.empty(picks.shape[1]), np.inf, np.inf, 0.0
    _sizes(weights, picks[0], sizes)
    _forget(block, trials, pins)
    for part in range(PARTS + 1):
        area = program.size * part / PARTS
        if part > 0 and program.size * (part - 1) / PARTS >= total(sizes):
            break
        for subset in range(1 << weights.shared.shape[0]):
            start = _divide(weights, sizes, area, subset, pins)
            if start > UNITS:
                continue
            for lane in range(pins.start.shape[0]):
                pins.start[lane], pins.area[lane] = np.inf, area
            pins.start[start] = 0.0
            place(program, fusing, striped, choices, block, trials, pins, told, objective, picks)
            lane = _best_lane(block.scores[0], block.ties[0])
            score, tie = block.scores[0, lane], block.ties[0, lane]
            if score < best or (score == best and tie < best_tie):
                best, best_tie, kept = score, tie, area
                _forget(block, trials, pins)
                trace_back(program, fusing, block, trials, pins, lane, 0)
    pins.area[0] = kept


@compiled
def evaluate(
    program: Program, fusing: Groups, choices: Choices, striped: Striped, weights: Weights, block: Block,
    trials: Trials, pins: Pins, objective: int, picks: Ints, totals: Floats, inside: Ints, where: Ints,
    missing: Ints,
) -> int:  # fmt: skip
    """Place and price candidates one by one; as `hwmodel.place.kernel.evaluate`.

    Args:
        weights: those that may stay.
        block, trials, pins: room for UNITS + 1 lanes.
    """
    told = Told(missing, all_of(1, 0))
    lanes = np.empty((UNITS + 1, picks.shape[1]), np.int64)
    for n in range(picks.shape[0]):
        for lane in range(UNITS + 1):
            block.lacks[lane] = False
            for layer in range(picks.shape[1]):
                lanes[lane, layer] = picks[n, layer]
        tensor_bits(program, choices.widths, lanes, block)
        find_rows(program, choices, lanes, block, told)
        _best_division(program, fusing, striped, choices, weights, block, trials, pins, told, objective, lanes)
        sum_up(
            program, fusing, striped, choices, block, trials, pins, told, picks[n : n + 1], totals[n : n + 1],
            where[n : n + 1],
        )  # fmt: skip
        for tensor in range(inside.shape[1]):
            inside[n, tensor] = block.inside[tensor, 0]
    return int(told.total[0])
