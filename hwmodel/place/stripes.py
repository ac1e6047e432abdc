"""The compiled part of fusion by stripes: jumps of the placement over groups of layers.

Before the first node of a group every state is remembered (OPEN), after its last node (CLOSE) the group is tried
from each of them: in every number of stripes, with its output inside or outside, its weights on chip or streamed.
What it ends in is the state without the tensors that died on the way, and it is kept where it is better than the
best that ends there layer by layer. The tensors that were alive at its begin stay allocated until its end, as
stripes take turns; line buffers, weights on chip and the output are added to them, and tiles get what all of these
leave.

A group is tried for a candidate in a state only where its tensors do not fit as they are: where what lies inside at
its begin and the tensors inside the group that one of its layers reads and writes are together larger than the
resident memory.

What has no price yet counts with the least that it can cost (`least_of`). Of the groups that would not be worse
with that than the best that is known, the one with the least is told, until there is none: what stays without a
price cannot be chosen (Lemma 17 of docs/mapper.md).
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.scores import EDP, ENERGY
from hwmodel.place.telling import (
    I_INSIDE,
    O_INSIDE,
    PRICE,
    STRIPE,
    W_INSIDE,
    Flags,
    Told,
    room_of,
    score_of,
    tell,
)  # fmt: skip

#: Columns of a group.
OPENED, FIRST, COUNT, OUTPUT, DEAD, OPTIONS, OPTIONS_END, VECTORS, VECTORS_END, FIELDS = range(10)
#: Rows of what was chosen where a group ends: the option, -1 for none, and the state at its begin.
CODE, ORIGIN = range(2)
#: What rounding may take from a bound.
NEARLY = 1 - 1e-9
#: Whether what lacks is told, as arguments: plain True and False would be types of their own, compiled twice.
SILENT, TELLING = cast(tuple[bool, bool], tuple(np.array([False, True])))


class Groups(NamedTuple):
    """The groups of a network, in numbers; an *option* is a group in a number of stripes.

    Attributes:
        groups: (G, FIELDS) where it begins, first layer, number of layers, output or -1, slots of the tensors that
            die on the way, options, operations; sorted by where they end.
        inner: (G, M) tensors inside.
        group: (P) of every option.
        heights: (P, M) place of the rows of a stripe among all heights, per layer.
        lines: (P, M) elements of the line buffers, per tensor inside.
        first_group: (E + 1) where the groups of an end begin.
        opened: (F, 3) of every begin: where its states begin among all remembered ones, how many there are, and its
            row in the steps.
        closed: (E) of every end: where its states begin among all that are chosen.
        weights: (L, C) what they take of the resident memory [bit]; infinite where it holds none.
    """

    groups: Ints
    inner: Ints
    group: Ints
    heights: Ints
    lines: Floats
    first_group: Ints
    opened: Ints
    closed: Ints
    weights: Floats


class Striped(NamedTuple):
    """Prices of stripes, by the rows of the prices of whole layers.

    Attributes:
        rows: (rows, H) row of the same layer in stripes of a height, -1 where it has none yet.
        floors: (rows, situations, 2) the least energy [pJ] and cycles, whatever the mapping.
    """

    rows: Ints
    floors: Floats


class Trials(NamedTuple):
    """What is known of B candidates while groups are tried.

    Attributes:
        scores, ties, used: (F', B) of every remembered state.
        chosen: (2, E', B) CODE and ORIGIN of every state at an end.
        widest: (G, B) of a group, the most that its tensors inside take while one of its layers runs [bit].
        base: (2, B) score and tie of a state, and of the operations of the group.
        tried: (B) the group is tried for the candidate.
        hopes: (S, B) at an end, the least score that an option without all of its prices may have, by state.
        hoped: (3, S, B) its code, ends and room, as `score_in` wants them.
        fused: (L, B) code of the group in which a layer runs, -1 where it runs whole.
        streamed: (T, B) the tensor lies inside a group.
    """

    scores: Floats
    ties: Floats
    used: Floats
    chosen: Ints
    widest: Floats
    base: Floats
    tried: Flags
    hopes: Floats
    hoped: Ints
    fused: Ints
    streamed: Flags


@internal
def ask_of_groups(groups: Ints, inner: Ints, sizes: Floats, widest: Floats) -> None:
    """Fills widest: of the tensors inside a group, the most that one of its layers reads and writes."""
    for g in range(groups.shape[0]):
        count = groups[g, COUNT] - 1
        for b in range(sizes.shape[1]):
            most = sizes[inner[g, 0], b]
            for n in range(1, count):
                most = max(most, sizes[inner[g, n - 1], b] + sizes[inner[g, n], b])
            widest[g, b] = most


@internal
def fuse_none(trials: Trials) -> None:
    """Every layer runs whole."""
    for b in range(trials.fused.shape[1]):
        for layer in range(trials.fused.shape[0]):
            trials.fused[layer, b] = -1
        for tensor in range(trials.streamed.shape[0]):
            trials.streamed[tensor, b] = False


@internal
def choose_none(chosen: Ints) -> None:
    """No option is chosen in any state at an end; chosen (2, E', B)."""
    for n in range(chosen.shape[0]):
        for state in range(chosen.shape[1]):
            for b in range(chosen.shape[2]):
                chosen[n, state, b] = -1


@internal
def remember(trials: Trials, offset: int, scores: Floats, ties: Floats, used: Floats, states: int) -> None:
    for state in range(states):
        for b in range(scores.shape[1]):
            trials.scores[offset + state, b] = scores[state, b]
            trials.ties[offset + state, b] = ties[state, b]
            trials.used[offset + state, b] = used[state, b]


@internal
def situation_of(member: int, count: int, ends: int, weights: int) -> int:
    """Of a layer in a group: what passes between its layers lies inside."""
    situation = W_INSIDE if weights else 0
    if member > 0 or ends & I_INSIDE:
        situation |= I_INSIDE
    if member < count - 1 or ends & O_INSIDE:
        situation |= O_INSIDE
    return situation


@internal
def least_of(prices: Floats, floors: Floats, room: int, objective: int, leakage: float) -> float:
    """A lower bound of the score of what has no price yet.

    Mappings for less room are among those for more, so that what they minimise is no less than there.

    Args:
        prices: (R, 2) of the situation, by rooms.
        floors: (2) of the situation.
    """
    for larger in range(room - 1, -1, -1):
        if not np.isnan(prices[larger, 0]) and objective != EDP:
            known = float(prices[larger, objective])
            return NEARLY * known + (leakage * floors[1] if objective == ENERGY else 0.0)
    return score_of(objective, floors[0] + leakage * floors[1], floors[1])


@internal
def easier(prices: Floats, room: int, objective: int) -> int:
    """The room whose price is asked for: first all of it, as a bound for the others."""
    return room if objective == EDP or not np.isnan(prices[0, 0]) else 0


@internal
def line_bits(fusing: Groups, bits: Ints, option: int, b: int) -> float:
    """Bits of all line buffers of an option."""
    g, total = fusing.group[option], 0.0
    for n in range(fusing.groups[g, COUNT] - 1):
        total += fusing.lines[option, n] * bits[fusing.inner[g, n], b]
    return total


@internal
def room_in(
    fusing: Groups, rooms: Floats, size: float, bits: Ints, picks: Ints, code: int, b: int, used: float
) -> int:
    """The room that is left to tiles beside what lies inside (used) and the group; -1: it does not fit."""
    option = code // 2
    taken = used + line_bits(fusing, bits, option, b)
    if code % 2:
        g = fusing.group[option]
        for layer in range(fusing.groups[g, FIRST], fusing.groups[g, FIRST] + fusing.groups[g, COUNT]):
            taken += fusing.weights[layer, picks[b, layer]]
    return room_of(rooms, size - taken) if taken <= size else -1


@internal
def score_in(
    fusing: Groups, striped: Striped, prices: Floats, rows: Ints, told: Told, telling: bool, code: int, ends: int,
    room: int, objective: int, leakage: float, b: int,
) -> tuple[float, float, bool]:  # fmt: skip
    """Score and tie of the layers of an option, lower bounds where some price lacks, and whether none does.

    Args:
        rows: (L, B) of the prices of whole layers.
        telling: what lacks is told.
        code: twice the option, and 1 where the weights are on chip.
        ends: I_INSIDE where the first layer reads, O_INSIDE where the last one writes inside.
    """
    option, weights = code // 2, code % 2
    group = fusing.group[option]
    first, count = fusing.groups[group, FIRST], fusing.groups[group, COUNT]
    score, tie, known = 0.0, 0.0, True
    for n in range(count):
        whole, height = rows[first + n, b], fusing.heights[option, n]
        row, situation = striped.rows[whole, height] if whole >= 0 else -1, situation_of(n, count, ends, weights)
        if row < 0:
            known = False
            if telling and whole >= 0:
                tell(told, STRIPE, whole, height, 0, 0)
            continue
        energy, cycles = prices[row, situation, room, 0], prices[row, situation, room, 1]
        if energy == np.inf:
            return np.inf, np.inf, True
        if np.isnan(energy):
            known = False
            if telling:
                tell(told, PRICE, row, situation, easier(prices[row, situation], room, objective), 0)
            score += least_of(prices[row, situation], striped.floors[row, situation], room, objective, leakage)
        else:
            energy += leakage * cycles
            score += score_of(objective, energy, cycles)
            tie += cycles if objective == ENERGY else energy
    return score, tie, known


@internal
def try_option(
    fusing: Groups, striped: Striped, prices: Floats, rows: Ints, trials: Trials, told: Told, rooms: Ints,
    code: int, ends: int, origin: int, to: int, objective: int, leakage: float, scores: Floats, ties: Floats,
    chosen: Ints,
) -> None:  # fmt: skip
    """Takes an option for the candidates for which it is the best so far; or notes that it may be, with all prices.

    Args:
        rows, code, ends: as `score_in`.
        rooms: (B) what is left to tiles, -1 where the option does not fit or is not tried.
        origin, to: states at the begin and the end.
        scores, ties: (B) of the state at the end.
        chosen: (2, B) of it.
    """
    for b in range(rooms.shape[0]):
        if rooms[b] < 0:
            continue
        score, tie, known = score_in(
            fusing, striped, prices, rows, told, SILENT, code, ends, rooms[b], objective, leakage, b
        )
        score, tie = score + trials.base[0, b], tie + trials.base[1, b]
        if known and (score < scores[b] or (score == scores[b] and tie < ties[b])):
            scores[b], ties[b], chosen[CODE, b], chosen[ORIGIN, b] = score, tie, code, origin
        if not known and score < trials.hopes[to, b]:
            trials.hopes[to, b] = score
            trials.hoped[0, to, b], trials.hoped[1, to, b], trials.hoped[2, to, b] = code, ends, rooms[b]


@internal
def ask(
    fusing: Groups, striped: Striped, prices: Floats, rows: Ints, trials: Trials, told: Told, objective: int,
    leakage: float, scores: Floats, lacks: Flags, states: int, count: int,
) -> None:  # fmt: skip
    """Tells what lacks of the options that may be better than the best: of those for a state, the one of which most
    is to be hoped."""
    for state in range(states):
        for b in range(count):
            if trials.hopes[state, b] <= scores[state, b] and trials.hopes[state, b] < np.inf:
                code, ends, room = trials.hoped[0, state, b], trials.hoped[1, state, b], trials.hoped[2, state, b]
                score_in(fusing, striped, prices, rows, told, TELLING, code, ends, room, objective, leakage, b)
                lacks[b] = True
