"""The compiled placement: where the tensors of a candidate lie, and what the candidate costs there.

Nodes run in order. A *state* is the set of tensors that lie in the resident memory, of those that are alive; it is
a mask over slots, and a tensor has a slot from its birth to its death. Going through the order,

    birth    every state goes on with the new tensor outside, and, where it fits, with it inside;
    layer    adds its score in the situation that the state makes: which of its operands lie inside, and how much of
             the memory all residents leave, rounded down to a room;
    vector   adds the traffic of an operation to the memories in which its tensors lie;
    death    of the two states that differ in the dead tensor alone, the better one goes on;
    open     remembers all states before a group of layers that may run in stripes;
    close    jumps over the groups that end there, from the states at their begin (`hwmodel.place.stripes`).

States are at most 2^(tensors alive), all are kept, so the result is the optimum over all placements (Lemma 16 of
docs/explain/mapper.md). Prices of layers in situations come in a table; what it has not yet counts with a lower
bound (`hwmodel.place.hopes`), and is told where the way that is found needs it.
Candidates go through the order in blocks, so that every step is one loop over them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.scores import ENERGY
from hwmodel.place import stripes
from hwmodel.place.hopes import score_or_hope
from hwmodel.place.pinning import OUTSIDE, Pins, pin_or_not
from hwmodel.place.stripes import (
    CODE,
    COUNT,
    DEAD,
    FIRST,
    OPENED,
    OPTIONS,
    OPTIONS_END,
    ORIGIN,
    OUTPUT,
    VECTORS,
    VECTORS_END,
    Groups,
    Striped,
    Trials,
)
from hwmodel.place.sums import sum_up
from hwmodel.place.tables import (
    BIRTH,
    CLOSE,
    DEATH,
    LAYER,
    OPEN,
    Block,
    Choices,
    Program,
    all_of,
    fill,
    find_rows,
    run_vector,
    situation_at,
    tensor_bits,
    total,
)
from hwmodel.place.telling import FLOOR, I_INSIDE, O_INSIDE, W_INSIDE, Told, room_of, score_of, tell


@internal
def _born(program: Program, block: Block, tensor: int, states: int, count: int) -> None:
    """Every state goes on with the tensor outside, and, where it fits, inside."""
    bit = 1 << program.slot[tensor]
    for state in range(states):
        if state & bit:
            continue
        other = state | bit
        for b in range(count):
            taken = block.used[state, b] + block.sizes[tensor, b]
            block.used[other, b], block.ties[other, b] = taken, block.ties[state, b]
            block.scores[other, b] = block.scores[state, b] if taken <= program.size else np.inf


@internal
def _dead(program: Program, block: Block, step: int, tensor: int, states: int, count: int) -> None:
    """Of two states that differ in the tensor alone the better one goes on."""
    bit = 1 << program.slot[tensor]
    for state in range(max(states, 2 * bit)):
        if state & bit:
            continue
        other = state | bit
        for b in range(count):
            better = block.scores[other, b] < block.scores[state, b]
            if block.scores[other, b] == block.scores[state, b]:
                better = block.ties[other, b] < block.ties[state, b]
            block.died[step, state, b] = better
            if better:
                block.scores[state, b], block.ties[state, b] = block.scores[other, b], block.ties[other, b]
            block.scores[other, b] = np.inf


@internal
def _add(scores: Floats, ties: Floats, objective: int, cost: Floats, leakage: float, count: int) -> None:
    """Adds a cost (3, B) of energy outside, inside, and cycles to what can still be; what cannot stays infinite."""
    for b in range(count):
        if scores[b] == np.inf:
            continue
        energy, cycles = cost[0, b] + (cost[1, b] + leakage * cost[2, b]), cost[2, b]
        scores[b] += score_of(objective, energy, cycles)
        ties[b] += cycles if objective == ENERGY else energy


@internal
def _run_layer(
    program: Program, choices: Choices, block: Block, told: Told, objective: int, leakage: float, layer: int,
    state: int, count: int,
) -> None:  # fmt: skip
    """Adds a layer to a state, with bounds where it has no price."""
    situation = _situation(program, layer, state)
    rooms, size, scores, used = program.rooms, program.size, block.scores[state], block.used[state]
    rows, ties = block.rows[layer], block.ties[state]
    for b in range(count):
        if scores[b] == np.inf or rows[b] < 0:
            continue
        room = room_of(rooms, size - used[b])
        score, tie, is_known = score_or_hope(choices, rows[b], situation, room, objective, leakage)
        if not is_known and np.isnan(choices.floors[rows[b], situation, 0]):
            block.lacks[b] = True
            tell(told, FLOOR, rows[b], 0, 0, 0)
        scores[b] += score
        ties[b] += tie


@internal
def _situation(program: Program, layer: int, state: int) -> int:
    """The situation of a layer in a state."""
    out = program.output[layer]
    o_mask = 1 << program.slot[out] if out >= 0 and program.slot[out] >= 0 else 0
    return situation_at(program.i_mask[layer], program.w_mask[layer], o_mask, state)


@internal
def _run_pinned(
    program: Program, choices: Choices, block: Block, pins: Pins, told: Told, objective: int, layer: int, state: int
) -> None:
    """A layer whose weights may stay, in all lanes of one candidate."""
    room = room_of(program.rooms, program.size - block.used[state, 0])
    pin_or_not(
        choices, told, block.lacks, block.rows[layer, 0], _situation(program, layer, state), room, objective,
        total(program.leakage), pins, layer, state, block.scores[state], block.ties[state],
    )  # fmt: skip


@internal
def _tried(program: Program, trials: Trials, group: int, at: int, count: int) -> bool:
    """Fills tried and base of a group from a state (at: of all remembered ones)."""
    some = False
    for b in range(count):
        trials.base[0, b], trials.base[1, b] = trials.scores[at, b], trials.ties[at, b]
        wide = trials.used[at, b] + trials.widest[group, b] > program.size
        trials.tried[b] = wide and trials.scores[at, b] < np.inf
        some = some or trials.tried[b]
    return some


@internal
def _jump(
    program: Program, fusing: Groups, striped: Striped, choices: Choices, block: Block, trials: Trials,
    objective: int, end: int, group: int, state: int, picks: Ints,
) -> None:  # fmt: skip
    """Takes a group from a state for the candidates for which it is tried, where that is the best so far."""
    numbers, count, leakage = fusing.groups[group], picks.shape[0], total(program.leakage)
    at = fusing.opened[numbers[OPENED], 0] + state
    all_in, rooms, cost = all_of(count, state), np.empty(count, np.int64), block.cost
    for vector in range(numbers[VECTORS], numbers[VECTORS_END]):
        if program.first_move[vector] < program.first_move[vector + 1]:
            run_vector(program, block, vector, all_in)
            _add(trials.base[0], trials.base[1], objective, cost, leakage, count)
    out, mask = numbers[OUTPUT], program.i_mask[numbers[FIRST]]
    reads = I_INSIDE if mask != 0 and state & mask == mask else 0
    for inside in range(2 if out >= 0 and program.slot[out] >= 0 else 1):
        to = (state & ~numbers[DEAD]) | (1 << program.slot[out] if inside else 0)
        for code in range(2 * numbers[OPTIONS], 2 * numbers[OPTIONS_END]):
            for b in range(count):
                rooms[b] = -1
                if trials.tried[b]:
                    used = trials.used[at, b] + (block.sizes[out, b] if inside else 0.0)
                    rooms[b] = stripes.room_in(
                        fusing, program.rooms, program.size, block.bits, picks, code, b, used
                    )
            stripes.try_option(
                fusing, striped, choices, block.rows, trials, rooms, code, reads | (O_INSIDE if inside else 0),
                state, objective, leakage, block.scores[to], block.ties[to],
                trials.chosen[:, fusing.closed[end] + to],
            )  # fmt: skip


@internal
def _close(
    program: Program, fusing: Groups, striped: Striped, choices: Choices, block: Block, trials: Trials,
    objective: int, end: int, picks: Ints,
) -> None:  # fmt: skip
    """Tries the groups that end here."""
    count = picks.shape[0]
    for group in range(fusing.first_group[end], fusing.first_group[end + 1]):
        opened = fusing.opened[fusing.groups[group, OPENED]]
        for state in range(opened[1]):
            if _tried(program, trials, group, opened[0] + state, count):
                _jump(program, fusing, striped, choices, block, trials, objective, end, group, state, picks)


@internal
def place(
    program: Program, fusing: Any, striped: Any, choices: Choices, block: Block,
    trials: Any, pins: Any, told: Told, objective: int, picks: Ints,
) -> None:  # fmt: skip
    """Fills the scores at the end, and what leads to them.

    Without groups or pins (None) their code is not compiled.
    """
    count = picks.shape[0]
    fill(block.scores, np.inf)
    for b in range(block.scores.shape[1]):
        block.scores[0, b], block.ties[0, b], block.used[0, b] = 0.0, 0.0, 0.0
    if fusing is not None:
        stripes.choose_none(trials.chosen)
        stripes.ask_of_groups(fusing.groups, fusing.inner, block.sizes, trials.widest)
    if pins is not None:
        for b in range(block.scores.shape[1]):
            block.scores[0, b], block.used[0, b] = pins.start[b], pins.area[b]
    all_in, leakage = np.empty(count, np.int64), total(program.leakage)
    for n in range(program.steps.shape[0]):
        kind, index, states = program.steps[n, 0], program.steps[n, 1], program.steps[n, 2]
        if kind == BIRTH:
            if program.slot[index] >= 0:
                _born(program, block, index, states, count)
        elif kind == DEATH:
            if program.slot[index] >= 0:
                _dead(program, block, n, index, states, count)
        elif kind in (OPEN, CLOSE):
            if fusing is not None:
                if kind == OPEN:
                    stripes.remember(trials, fusing.opened[index, 0], block.scores, block.ties, block.used, states)
                else:
                    _close(program, fusing, striped, choices, block, trials, objective, index, picks)
        else:
            may_stay = False
            if pins is not None:
                may_stay = kind == LAYER and pins.may[index] != OUTSIDE
                if may_stay:
                    for state in range(states):
                        _run_pinned(program, choices, block, pins, told, objective, index, state)
            for state in range(0 if may_stay else states):
                if kind == LAYER:
                    _run_layer(program, choices, block, told, objective, leakage, index, state, count)
                    continue
                for b in range(count):
                    all_in[b] = state
                run_vector(program, block, index, all_in)
                _add(block.scores[state], block.ties[state], objective, block.cost, leakage, count)


@internal
def trace_back(program: Program, fusing: Any, block: Block, trials: Any, pins: Any, lane: int, b: int) -> None:
    """Notes what leads to the score at the end of a lane, for a candidate."""
    state, n = 0, program.steps.shape[0] - 1
    while n >= 0:
        kind, index = program.steps[n, 0], program.steps[n, 1]
        if fusing is not None:
            if kind == CLOSE and trials.chosen[CODE, fusing.closed[index] + state, lane] >= 0:
                at = fusing.closed[index] + state
                state = trials.chosen[ORIGIN, at, lane]
                n = _take_group(program, fusing, block, trials, n, trials.chosen[CODE, at, lane], state, b)
        if pins is not None:
            if kind == LAYER and pins.may[index] != OUTSIDE and pins.took[index, state, lane]:
                pins.pinned[index, b] = W_INSIDE
                lane -= pins.units[index]
        if kind == DEATH and program.slot[index] >= 0 and block.died[n, state, lane]:
            state |= 1 << program.slot[index]
            block.inside[index, b] = 1
        elif kind == BIRTH and block.inside[index, b]:
            state &= ~(1 << program.slot[index])
        n -= 1


@internal
def _take_group(
    program: Program, fusing: Groups, block: Block, trials: Trials, close: int, code: int, origin: int, b: int
) -> int:
    """Notes a chosen group; the row of its begin."""
    group = fusing.group[code // 2]
    first, count = fusing.groups[group, FIRST], fusing.groups[group, COUNT]
    begin = fusing.opened[fusing.groups[group, OPENED], 2]
    for n in range(begin, close):
        tensor = program.steps[n, 1]
        if program.steps[n, 0] == DEATH and program.slot[tensor] >= 0:
            block.inside[tensor, b] = (origin >> program.slot[tensor]) & 1
    for n in range(count - 1):
        block.inside[fusing.inner[group, n], b] = 0
        trials.streamed[fusing.inner[group, n], b] = True
    trials.fused[first : first + count, b] = code
    return begin


@compiled
def evaluate(
    program: Program, fusing: Any, choices: Choices, striped: Any, block: Block,
    trials: Any, objective: int, picks: Ints, totals: Floats, inside: Ints, where: Ints, missing: Ints,
) -> int:  # fmt: skip
    """Place and price candidates of a network whose weights do not stay (`hwmodel.place.division` has the others).

    Args:
        program, fusing: the network, and its groups; None, as striped and trials, where none is to be tried: their
            code is not compiled then.
        choices, striped: what may be chosen, and the rows of its stripes.
        block, trials: room for B candidates.
        objective: ENERGY, LATENCY or EDP.
        picks: (n, L) choice of every layer, per candidate.
        totals: (n, 3) to be filled with energy [pJ], cycles and peak of the activations [bit]; the energy is NaN
            where something was missing.
        inside: (n, T) to be filled: 1 where a tensor lies inside.
        where: (n, L, 3) to be filled: situation and room of every layer, and the option of its group, -1 for none.
        missing: (m, MISSING) to be filled with what has no price yet, as far as there is room.

    Returns:
        How much was missing (with repeats).
    """
    told = Told(missing, all_of(1, 0))
    for first in range(0, picks.shape[0], block.lacks.shape[0]):
        last = min(first + block.lacks.shape[0], picks.shape[0])
        count = last - first
        for b in range(block.lacks.shape[0]):
            block.lacks[b] = False
        tensor_bits(program, choices.widths, picks[first:last], block)
        find_rows(program, choices, picks[first:last], block, told)
        for t in range(block.inside.shape[0]):
            for b in range(block.inside.shape[1]):
                block.inside[t, b] = 0
        if trials is not None:
            stripes.fuse_none(trials)
        if block.scores.shape[0] > 1:
            place(program, fusing, striped, choices, block, trials, None, told, objective, picks[first:last])
            for b in range(count):
                trace_back(program, fusing, block, trials, None, b, b)
        sum_up(
            program, fusing, striped, choices, block, trials, None, told, picks[first:last], totals[first:last],
            where[first:last],
        )  # fmt: skip
        for t in range(block.inside.shape[0]):
            for b in range(count):
                inside[first + b, t] = block.inside[t, b]
    return int(told.total[0])
