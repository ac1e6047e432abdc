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
docs/mapper.md). Prices of layers in situations come in a table; what it has not yet is told, and counts as nothing
until it is there.
Candidates go through the order in blocks, so that every step is one loop over them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.place import stripes
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
from hwmodel.place.telling import (
    ENERGY,
    I_INSIDE,
    LATENCY,
    O_INSIDE,
    PRICE,
    ROW,
    W_INSIDE,
    Flags,
    Told,
    room_of,
    tell,
)  # fmt: skip
from hwmodel.price.vector import LEARNED

BIRTH, LAYER, VECTOR, DEATH, OPEN, CLOSE = range(6)
OUTER, INNER = 0, 1
#: Columns of a memory: energy of a bit read, written; bits read, written per cycle; 1 where these share a port.
READ_PJ, WRITE_PJ, READ_RATE, WRITE_RATE, SHARED = range(5)


class Program(NamedTuple):
    """A network on a chip, in numbers. Indices of tensors, layers and operations are those of the plan.

    Attributes:
        steps: (n, 3) what happens in turn, to which tensor, layer, operation, begin or end of groups, and below
            which mask all states lie from then on.
        elements, slot, maker: (T) of every tensor; the slot is -1 where it lies outside, the maker a layer or -1.
        asked: (A, 3) tensor, layer that computes with it, and 1 where that is as W; sorted by tensor.
        first_asked: (T + 1) where those of a tensor begin.
        inputs: (B, 2) layer and tensor that it reads as I; sorted by layer.
        first_input: (L + 1).
        i_mask, w_mask: (L) slots of the tensors that a layer reads, 0 where one of them lies outside for good.
        output: (L) tensor of its outputs, -1 where there is none.
        moves: (M, 4) operation, 0 read or 1 written, tensor, UNKNOWN or LEARNED, elements; sorted by operation.
        first_move: (V + 1).
        owner: (V) layer.
        work: (V, 2) of every operation that moves something: cycles of its arithmetic and of its launch.
        still: (L, 2) what a layer's operations cost whatever moves: energy of their arithmetic [pJ], and cycles of
            those that move nothing.
        memories: (2, 5) outermost and resident.
        rooms: (R) rooms of the resident memory, falling [bit].
        size: of it [bit].
        native: width of tensors that nobody makes or asks for [bit].
        leakage: of every part that leaks, in a cycle [pJ].
    """

    steps: Ints
    elements: Floats
    slot: Ints
    maker: Ints
    asked: Ints
    first_asked: Ints
    inputs: Ints
    first_input: Ints
    i_mask: Ints
    w_mask: Ints
    output: Ints
    moves: Ints
    first_move: Ints
    owner: Ints
    work: Floats
    still: Floats
    memories: Floats
    rooms: Floats
    size: float
    native: int
    leakage: Floats


class Choices(NamedTuple):
    """What may be chosen per layer, and the prices that are known.

    Attributes:
        widths: (L, C, 3) of w, i and, where it is fixed, o, else 0 [bit].
        place: (65,) width -> its place in rows.
        rows: (L, C, V, V) by the widths of I and O where they lie: row of the prices, -1 where it has none yet.
        prices: (rows, situations, R, 2) energy [pJ] and cycles; NaN where not known yet, infinite where nothing
            fits.
    """

    widths: Ints
    place: Ints
    rows: Ints
    prices: Floats


class Block(NamedTuple):
    """What is known of B candidates while they are placed and summed.

    Attributes:
        bits, sizes: (T, B) width and size of every tensor [bit].
        own: (L, B) width of outputs that no tensor holds [bit].
        rows: (L, B) of the prices.
        lacks: (B) something has no price yet.
        scores, ties: (S, B) of every state, infinite where it cannot be.
        used: (S, B) what its residents take [bit].
        died: (n, S, B) at the death of a tensor: the state in which it lay inside was the better one.
        inside: (T, B) 1 where a tensor lies inside.
        parts: (L, 4, B) energy of a layer, of its operations outside, and inside [pJ], and the cycles of all.
        moved: (4, B) read and written outside, read and written inside by an operation [bit].
        cost: (3, B) of a layer: energy [pJ] and cycles; of an operation: energy outside, inside, and cycles.
    """

    bits: Ints
    sizes: Floats
    own: Ints
    rows: Ints
    lacks: Flags
    scores: Floats
    ties: Floats
    used: Floats
    died: Flags
    inside: Ints
    parts: Floats
    moved: Floats
    cost: Floats


@internal
def fill(values: Floats, value: float) -> None:
    """Sets all values (n, B): a loop compiles in a tenth of the time of a slice."""
    for n in range(values.shape[0]):
        for b in range(values.shape[1]):
            values[n, b] = value


@internal
def tensor_bits(program: Program, widths: Ints, picks: Ints, block: Block) -> None:
    """Fills the widths and sizes of the tensors; picks (B, L)."""
    for layer in range(block.own.shape[0]):
        for b in range(picks.shape[0]):
            fixed = widths[layer, picks[b, layer], 2]
            block.own[layer, b] = fixed if fixed > 0 else widths[layer, picks[b, layer], 1]
    for t in range(block.bits.shape[0]):
        maker, bits = program.maker[t], block.bits[t]
        first, last = program.first_asked[t], program.first_asked[t + 1]
        for b in range(bits.shape[0]):
            bits[b] = 0
        for a in range(first, last):
            layer, column = program.asked[a, 1], 1 - program.asked[a, 2]
            for b in range(picks.shape[0]):
                bits[b] = max(bits[b], widths[layer, picks[b, layer], column])
        for b in range(picks.shape[0]):
            if maker >= 0 and widths[maker, picks[b, maker], 2] > 0:
                bits[b] = widths[maker, picks[b, maker], 2]
            elif first == last:
                bits[b] = program.native if maker < 0 else widths[maker, picks[b, maker], 1]
            block.sizes[t, b] = program.elements[t] * bits[b]


@internal
def find_rows(program: Program, choices: Choices, picks: Ints, block: Block, told: Told) -> None:
    """Fills the rows of the layers; where there is none yet, that is told."""
    i_bits = np.empty(picks.shape[0], np.int64)
    for layer in range(block.rows.shape[0]):
        first, last, out = program.first_input[layer], program.first_input[layer + 1], program.output[layer]
        for b in range(picks.shape[0]):
            i_bits[b] = choices.widths[layer, picks[b, layer], 1] if first == last else 0
        for n in range(first, last):
            bits = block.bits[program.inputs[n, 1]]
            for b in range(picks.shape[0]):
                i_bits[b] = max(i_bits[b], bits[b])
        outputs = block.bits[out] if out >= 0 else block.own[layer]
        for b in range(picks.shape[0]):
            pick = picks[b, layer]
            row = choices.rows[layer, pick, choices.place[i_bits[b]], choices.place[outputs[b]]]
            block.rows[layer, b] = row
            if row < 0:
                block.lacks[b] = True
                tell(told, ROW, layer, pick, i_bits[b], outputs[b])


@internal
def _situation(i_mask: int, w_mask: int, o_mask: int, state: int) -> int:
    situation = 0
    if i_mask and state & i_mask == i_mask:
        situation |= I_INSIDE
    if w_mask and state & w_mask == w_mask:
        situation |= W_INSIDE
    if state & o_mask:
        situation |= O_INSIDE
    return situation


@internal
def _port_cycles(memory: Floats, reads: float, writes: float) -> float:
    reading, writing = reads / memory[READ_RATE], writes / memory[WRITE_RATE]
    return reading + writing if memory[SHARED] > 0 else max(reading, writing)


@internal
def _run_vector(program: Program, block: Block, vector: int, states: Ints) -> None:
    """Fills cost (3, B) of the block with energy of an operation outside and inside [pJ], and its cycles."""
    moved, cost = block.moved, block.cost
    fill(moved, 0.0)
    for m in range(program.first_move[vector], program.first_move[vector + 1]):
        tensor, elements, way = program.moves[m, 2], program.moves[m, 3], program.moves[m, 1]
        if tensor == LEARNED:
            for b in range(states.shape[0]):
                moved[way, b] += float(elements * FLOAT_BITS)
            continue
        slot = program.slot[tensor] if tensor >= 0 else -1
        bits = block.bits[tensor] if tensor >= 0 else block.own[program.owner[vector]]
        for b in range(states.shape[0]):
            is_inside = (states[b] >> slot) & 1 if slot >= 0 else 0
            moved[2 * is_inside + way, b] += float(elements * bits[b])
    outer, inner, work = program.memories[OUTER], program.memories[INNER], program.work[vector]
    for b in range(states.shape[0]):
        port = _port_cycles(outer, moved[0, b], moved[1, b])
        if moved[2, b] + moved[3, b] > 0:
            port = max(port, _port_cycles(inner, moved[2, b], moved[3, b]))
        cost[0, b] = moved[0, b] * outer[READ_PJ] + moved[1, b] * outer[WRITE_PJ]
        cost[1, b] = moved[2, b] * inner[READ_PJ] + moved[3, b] * inner[WRITE_PJ]
        cost[2, b] = np.ceil(max(port, work[0]) + work[1])


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
        if objective == ENERGY:
            scores[b] += energy
            ties[b] += cycles
        elif objective == LATENCY:
            scores[b] += cycles
            ties[b] += energy
        else:
            scores[b] += energy * cycles
            ties[b] += energy


@internal
def _run_layer(
    program: Program, prices: Floats, block: Block, told: Told, layer: int, state: int, count: int
) -> None:
    """Fills cost (3, B) of the block with energy of a layer [pJ], nothing, and its cycles."""
    out = program.output[layer]
    o_mask = 1 << program.slot[out] if out >= 0 and program.slot[out] >= 0 else 0
    situation = _situation(program.i_mask[layer], program.w_mask[layer], o_mask, state)
    rooms, size, scores, used = program.rooms, program.size, block.scores[state], block.used[state]
    rows, energy, cycles = block.rows[layer], block.cost[0], block.cost[2]
    fill(block.cost, 0.0)
    for b in range(count):
        if scores[b] == np.inf or rows[b] < 0:
            continue
        room = room_of(rooms, size - used[b])
        if np.isnan(prices[rows[b], situation, room, 0]):
            block.lacks[b] = True
            tell(told, PRICE, rows[b], situation, room, 0)
        elif prices[rows[b], situation, room, 0] == np.inf:
            scores[b] = np.inf
        else:
            energy[b] = prices[rows[b], situation, room, 0]
            cycles[b] = prices[rows[b], situation, room, 1]


@internal
def _run_pinned(
    program: Program, prices: Floats, block: Block, pins: Pins, told: Told, objective: int, layer: int, state: int
) -> None:
    """A layer whose weights may stay, in all lanes of one candidate."""
    out = program.output[layer]
    o_mask = 1 << program.slot[out] if out >= 0 and program.slot[out] >= 0 else 0
    situation = _situation(program.i_mask[layer], program.w_mask[layer], o_mask, state)
    room = room_of(program.rooms, program.size - block.used[state, 0])
    pin_or_not(
        prices, told, block.rows[layer, 0], situation, room, objective, program.leakage.sum(), pins, layer, state,
        block.scores[state], block.ties[state],
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
    program: Program, fusing: Groups, striped: Striped, choices: Choices, block: Block, trials: Trials, told: Told,
    objective: int, end: int, group: int, state: int, picks: Ints,
) -> None:  # fmt: skip
    """Takes a group from a state for the candidates for which it is tried, where that is the best so far."""
    numbers, count, leakage = fusing.groups[group], picks.shape[0], program.leakage.sum()
    at = fusing.opened[numbers[OPENED], 0] + state
    all_in, rooms, cost = np.full(count, state), np.empty(count, np.int64), block.cost
    for vector in range(numbers[VECTORS], numbers[VECTORS_END]):
        if program.first_move[vector] < program.first_move[vector + 1]:
            _run_vector(program, block, vector, all_in)
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
                fusing, striped, choices.prices, block.rows, trials, told, rooms, code,
                reads | (O_INSIDE if inside else 0), state, to, objective, leakage, block.scores[to],
                block.ties[to], trials.chosen[:, fusing.closed[end] + to],
            )  # fmt: skip


@internal
def _close(
    program: Program, fusing: Groups, striped: Striped, choices: Choices, block: Block, trials: Trials, told: Told,
    objective: int, end: int, states: int, picks: Ints,
) -> None:  # fmt: skip
    """Tries the groups that end here."""
    count = picks.shape[0]
    trials.hopes[:states] = np.inf
    for group in range(fusing.first_group[end], fusing.first_group[end + 1]):
        opened = fusing.opened[fusing.groups[group, OPENED]]
        for state in range(opened[1]):
            if _tried(program, trials, group, opened[0] + state, count):
                _jump(program, fusing, striped, choices, block, trials, told, objective, end, group, state, picks)
    stripes.ask(
        fusing, striped, choices.prices, block.rows, trials, told, objective, program.leakage.sum(), block.scores,
        block.lacks, states, count,
    )  # fmt: skip


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
        trials.chosen[:] = -1
        stripes.ask_of_groups(fusing.groups, fusing.inner, block.sizes, trials.widest)
    if pins is not None:
        for b in range(block.scores.shape[1]):
            block.scores[0, b], block.used[0, b] = pins.start[b], pins.area[b]
    all_in, leakage = np.zeros(count, np.int64), program.leakage.sum()
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
                    _close(program, fusing, striped, choices, block, trials, told, objective, index, states, picks)
        else:
            may_stay = False
            if pins is not None:
                may_stay = kind == LAYER and pins.may[index] != OUTSIDE
                if may_stay:
                    for state in range(states):
                        _run_pinned(program, choices.prices, block, pins, told, objective, index, state)
            for state in range(0 if may_stay else states):
                if kind == LAYER:
                    _run_layer(program, choices.prices, block, told, index, state, count)
                else:
                    for b in range(count):
                        all_in[b] = state
                    _run_vector(program, block, index, all_in)
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


@internal
def _sum_whole(
    program: Program, prices: Floats, block: Block, told: Told, layer: int, states: Ints, used: Floats,
    where: Ints, trials: Any, pins: Any,
) -> None:  # fmt: skip
    """A layer of the candidates for which it runs whole."""
    out, situation, room = program.output[layer], 0, 0
    o_mask = 1 << program.slot[out] if out >= 0 and program.slot[out] >= 0 else 0
    i_mask, w_mask = program.i_mask[layer], program.w_mask[layer]
    rooms, size, rows, energy = program.rooms, program.size, block.rows[layer], block.parts[layer, 0]
    for b in range(states.shape[0]):
        where[b, layer, 2] = -1
        if trials is not None:
            if trials.fused[layer, b] >= 0:
                continue
        if rooms.shape[0] > 1:
            situation = _situation(i_mask, w_mask, o_mask, states[b])
            if pins is not None:
                situation |= pins.pinned[layer, b]
            room = room_of(rooms, size - used[b])
            where[b, layer, 0], where[b, layer, 1] = situation, room
        if rows[b] < 0:
            continue
        energy[b] = prices[rows[b], situation, room, 0]
        block.parts[layer, 3, b] += prices[rows[b], situation, room, 1]
        if np.isnan(energy[b]):
            block.lacks[b] = True
            tell(told, PRICE, rows[b], situation, room, 0)


@internal
def _sum_striped(
    program: Program, fusing: Groups, striped: Striped, prices: Floats, block: Block, trials: Trials, picks: Ints,
    layer: int, states: Ints, used: Floats, rooms: Ints, where: Ints, b: int,
) -> None:  # fmt: skip
    """A layer that runs in stripes; rooms (B) are found at the first layer of a group."""
    code = trials.fused[layer, b]
    option, weights = code // 2, code % 2
    group = fusing.group[option]
    member, count, out = (
        layer - fusing.groups[group, FIRST],
        fusing.groups[group, COUNT],
        fusing.groups[group, OUTPUT],
    )
    inside = out >= 0 and block.inside[out, b] == 1
    if member == 0:
        taken = used[b] + (block.sizes[out, b] if inside else 0.0)
        rooms[b] = stripes.room_in(fusing, program.rooms, program.size, block.bits, picks, code, b, taken)
    mask = program.i_mask[layer]
    ends = (I_INSIDE if mask != 0 and states[b] & mask == mask else 0) | (O_INSIDE if inside else 0)
    situation = stripes.situation_of(member, count, ends, weights)
    where[b, layer, 0], where[b, layer, 1], where[b, layer, 2] = situation, rooms[b], option
    row = striped.rows[block.rows[layer, b], fusing.heights[option, member]]
    block.parts[layer, 0, b] = prices[row, situation, rooms[b], 0]
    block.parts[layer, 3, b] += prices[row, situation, rooms[b], 1]


@internal
def _lives(
    program: Program,
    block: Block,
    trials: Any,
    tensor: int,
    sign: int,
    states: Ints,
    used: Floats,
    alive: Floats,
) -> None:
    """A tensor is born (sign 1) or dies (-1); those inside a group lie nowhere whole."""
    for b in range(states.shape[0]):
        if trials is not None:
            if trials.streamed[tensor, b]:
                continue
        alive[b] += sign * block.sizes[tensor, b]
        if block.inside[tensor, b]:
            used[b] += sign * block.sizes[tensor, b]
            states[b] ^= 1 << program.slot[tensor]


@internal
def sum_up(
    program: Program, fusing: Any, striped: Any, choices: Choices, block: Block,
    trials: Any, pins: Any, told: Told, picks: Ints, totals: Floats, where: Ints,
) -> None:  # fmt: skip
    """Fills totals (B, 3) and where (B, L, 3).

    Energy is summed as results do: per layer its own, then that of its operations outside, inside and of their
    arithmetic, then what leaks in the cycles of both. Of a group the tensors alive at its begin, its line buffers
    and its output are alive at once.
    """
    count = totals.shape[0]
    states, used, alive = np.zeros(count, np.int64), np.zeros(count), np.zeros(count)
    prices, rooms = choices.prices, np.zeros(count, np.int64)
    if pins is not None:
        used[:] = pins.area[:count]
    fill(totals, 0.0)
    for layer in range(block.parts.shape[0]):
        fill(block.parts[layer], 0.0)
    for n in range(program.steps.shape[0]):
        kind, index = program.steps[n, 0], program.steps[n, 1]
        if kind in (BIRTH, DEATH):
            _lives(program, block, trials, index, 1 if kind == BIRTH else -1, states, used, alive)
            for b in range(count):
                totals[b, 2] = max(totals[b, 2], alive[b])
        elif kind == LAYER:
            _sum_whole(program, prices, block, told, index, states, used, where, trials, pins)
            if fusing is not None:
                for b in range(count):
                    if trials.fused[index, b] >= 0:
                        _sum_striped(
                            program, fusing, striped, prices, block, trials, picks, index, states, used, rooms,
                            where, b,
                        )  # fmt: skip
                        group = _of_group(fusing, block, trials.fused[index, b] // 2, index, b)
                        totals[b, 2] = max(totals[b, 2], alive[b] + group)
        elif kind == VECTOR:
            _run_vector(program, block, index, states)
            parts = block.parts[program.owner[index]]
            for k in range(3):
                for b in range(count):
                    parts[1 + k, b] += block.cost[k, b]
    _add_up(program, block, totals)


@internal
def _of_group(fusing: Groups, block: Block, option: int, layer: int, b: int) -> float:
    """What a group has alive beside the tensors from before it [bit]; 0 but for its first layer."""
    group = fusing.group[option]
    if layer != fusing.groups[group, FIRST]:
        return 0.0
    out = fusing.groups[group, OUTPUT]
    return stripes.line_bits(fusing, block.bits, option, b) + (block.sizes[out, b] if out >= 0 else 0.0)


@internal
def _add_up(program: Program, block: Block, totals: Floats) -> None:
    """Adds energy and cycles of every layer to the totals, in the order in which results add them."""
    count = totals.shape[0]
    for layer in range(block.parts.shape[0]):
        arithmetic, cycles = program.still[layer, 0], program.still[layer, 1]
        for b in range(count):
            own = block.parts[layer, 0, b] + block.parts[layer, 1, b] + block.parts[layer, 2, b] + arithmetic
            took = block.parts[layer, 3, b] + cycles
            for k in range(program.leakage.shape[0]):
                own += program.leakage[k] * took
            totals[b, 0] += own
            totals[b, 1] += took


@compiled
def evaluate(
    program: Program, fusing: Any, choices: Choices, striped: Any, block: Block,
    trials: Any, objective: int, picks: Ints, totals: Floats, inside: Ints, where: Ints, missing: Ints,
) -> int:  # fmt: skip
    """Place and price candidates of a network whose weights do not stay (`hwmodel.place.division` has the others).

    Args:
        program, fusing: the network, and its groups; None, as striped and trials, where none is to be tried: their
            code is not compiled then.
        choices, striped: what may be chosen, and what it costs in stripes.
        block, trials: room for B candidates.
        objective: ENERGY, LATENCY or EDP.
        picks: (n, L) choice of every layer, per candidate.
        totals: (n, 3) to be filled with energy [pJ], cycles and peak of the activations [bit].
        inside: (n, T) to be filled: 1 where a tensor lies inside.
        where: (n, L, 3) to be filled: situation and room of every layer, and the option of its group, -1 for none.
        missing: (m, MISSING) to be filled with what has no price yet, as far as there is room.

    Returns:
        How much was missing (with repeats): until it is 0, the totals are not right.
    """
    told = Told(missing, np.zeros(1, np.int64))
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
            trials.fused[:] = -1
            trials.streamed[:] = False
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
