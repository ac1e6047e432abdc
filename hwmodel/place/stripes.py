"""The compiled part of fusion by stripes: jumps of the placement over groups of layers.

Before the first node of a group every state is remembered (OPEN), after its last node (CLOSE) the group is tried
from each of them: in every number of stripes, with its output inside or outside, its weights on chip or streamed.
What it ends in is the state without the tensors that died on the way, and it is kept where it is better than the
best that ends there layer by layer (Lemma 17 of docs/explain/mapper.md). The tensors that were alive at its begin
stay allocated until its end, as stripes take turns; line buffers, weights on chip and the output are added to them,
and tiles get what all of these leave.

A group is tried for a candidate in a state only where its tensors do not fit as they are: where what lies inside at
its begin and the tensors inside the group that one of its layers reads and writes are together larger than the
resident memory.

What has no price yet counts with the least that it can cost (`hwmodel.place.hopes`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.place.hopes import floor_of, score_or_hope
from hwmodel.place.tables import Choices
from hwmodel.place.telling import I_INSIDE, O_INSIDE, STRIPE, W_INSIDE, Flags, Told, room_of, tell

#: Columns of a group.
OPENED, FIRST, COUNT, OUTPUT, DEAD, OPTIONS, OPTIONS_END, VECTORS, VECTORS_END, FIELDS = range(10)
#: Rows of what was chosen where a group ends: the option, -1 for none, and the state at its begin.
CODE, ORIGIN = range(2)


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
    """Layers in stripes, by the rows of the prices of whole layers.

    Attributes:
        rows: (rows, H) row of the same layer in stripes of a height, -1 where it has none yet.
        share: of the floor of a whole layer, a floor of it in stripes.
    """

    rows: Ints
    share: float


class Trials(NamedTuple):
    """What is known of B candidates while groups are tried.

    Attributes:
        scores, ties, used: (F', B) of every remembered state.
        chosen: (2, E', B) CODE and ORIGIN of every state at an end.
        widest: (G, B) of a group, the most that its tensors inside take while one of its layers runs [bit].
        base: (2, B) score and tie of a state, and of the operations of the group.
        tried: (B) the group is tried for the candidate.
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
def _score_in(
    fusing: Groups, striped: Striped, choices: Choices, rows: Ints, code: int, ends: int, room: int, objective: int,
    leakage: float, b: int,
) -> tuple[float, float]:  # fmt: skip
    """Score and tie of the layers of an option; bounds where some price lacks.

    Args:
        rows: (L, B) of the prices of whole layers.
        code: twice the option, and 1 where the weights are on chip.
        ends: I_INSIDE where the first layer reads, O_INSIDE where the last one writes inside.
    """
    option, weights = code // 2, code % 2
    group = fusing.group[option]
    first, count = fusing.groups[group, FIRST], fusing.groups[group, COUNT]
    score, tie = 0.0, 0.0
    for n in range(count):
        whole, situation = rows[first + n, b], situation_of(n, count, ends, weights)
        row = striped.rows[whole, fusing.heights[option, n]] if whole >= 0 else -1
        if row >= 0:
            more, more_tie, _ = score_or_hope(choices, row, situation, room, objective, leakage)
        else:
            more, more_tie = 0.0, -np.inf
            if whole >= 0:
                more = striped.share * floor_of(choices.floors[whole, situation], objective, leakage)
        if more == np.inf:
            return np.inf, 0.0
        score, tie = score + more, tie + more_tie
    return score, tie


@internal
def try_option(
    fusing: Groups, striped: Striped, choices: Choices, rows: Ints, trials: Trials, rooms: Ints, code: int,
    ends: int, origin: int, objective: int, leakage: float, scores: Floats, ties: Floats, chosen: Ints,
) -> None:  # fmt: skip
    """Takes an option for the candidates for which it is the best so far.

    Args:
        rows, code, ends: as `_score_in`.
        rooms: (B) what is left to tiles, -1 where the option does not fit or is not tried.
        origin: state at the begin.
        scores, ties: (B) of the state at the end.
        chosen: (2, B) of it.
    """
    for b in range(rooms.shape[0]):
        if rooms[b] < 0:
            continue
        score, tie = _score_in(fusing, striped, choices, rows, code, ends, rooms[b], objective, leakage, b)
        score, tie = score + trials.base[0, b], tie + trials.base[1, b]
        if score < scores[b] or (score == scores[b] and tie < ties[b]):
            scores[b], ties[b], chosen[CODE, b], chosen[ORIGIN, b] = score, tie, code, origin


@internal
def ask_of_stripes(fusing: Groups, striped: Striped, told: Told, whole: int, group: int, member: int) -> None:
    """Tells the stripes of a layer of a group in every number that have no row yet."""
    for option in range(fusing.groups[group, OPTIONS], fusing.groups[group, OPTIONS_END]):
        height = fusing.heights[option, member]
        if striped.rows[whole, height] < 0:
            tell(told, STRIPE, whole, height, 0, 0)
