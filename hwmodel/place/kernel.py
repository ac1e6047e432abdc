"""The compiled placement: where the tensors of a candidate lie, and what the candidate costs there.

Nodes run in order. A *state* is the set of tensors that lie in the resident memory, of those that are alive; it is a
mask over slots, and a tensor has a slot from its birth to its death. Going through the order,

    birth    every state goes on with the new tensor outside, and, where it fits, with it inside;
    layer    adds its score in the situation that the state makes: which of its operands lie inside, and how much of
             the memory all residents leave, rounded down to a room;
    vector   adds the traffic of an operation to the memories in which its tensors lie;
    death    of the two states that differ in the dead tensor alone, the better one goes on.

States are at most 2^(tensors alive), all are kept, so the result is the optimum over all placements. Prices of
layers in situations come in a table; what it has not yet is told, and counts as nothing until it is there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.price.vector import LEARNED

Flags = NDArray[np.bool_]

BIRTH, LAYER, VECTOR, DEATH = range(4)
#: Bits of a situation: the operand lies in the resident memory.
I_INSIDE, O_INSIDE, W_INSIDE = 1, 2, 4
#: Columns of what is missing: 0 a row (layer, choice, width of I, width of O), 1 a price (row, situation, room, 0).
MISSING = 5
ENERGY, LATENCY, EDP = range(3)
OUTER, INNER = 0, 1
#: Columns of a memory: energy of a bit read and written, bits read and written per cycle, 1 where these share a port.
READ_PJ, WRITE_PJ, READ_RATE, WRITE_RATE, SHARED = range(5)


class Program(NamedTuple):
    """A network on a chip, in numbers. Indices of tensors, layers and operations are those of the plan.

    Attributes:
        steps: (n, 3) what happens in turn, to which tensor, layer or operation, and below which mask all states lie
            from then on.
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
        work: (V, 3) of every operation: cycles of its arithmetic, of its launch, and its energy [pJ].
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
        prices: (rows, situations, R, 2) energy [pJ] and cycles; NaN where not known yet, infinite where nothing fits.
    """

    widths: Ints
    place: Ints
    rows: Ints
    prices: Floats


@internal
def _tensor_bits(program: Program, widths: Ints, picks: Ints, bits: Ints) -> None:
    """Fills bits (T) with the width of every tensor."""
    for t in range(bits.shape[0]):
        maker, width = program.maker[t], 0
        if maker >= 0 and widths[maker, picks[maker], 2] > 0:
            bits[t] = widths[maker, picks[maker], 2]
            continue
        for a in range(program.first_asked[t], program.first_asked[t + 1]):
            layer = program.asked[a, 1]
            width = max(width, widths[layer, picks[layer], 1 - program.asked[a, 2]])
        if width == 0:
            width = program.native if maker < 0 else widths[maker, picks[maker], 1]
        bits[t] = width


@internal
def _own_output_bits(widths: Ints, layer: int, pick: int) -> int:
    fixed = widths[layer, pick, 2]
    return fixed if fixed > 0 else widths[layer, pick, 1]


@internal
def _row(program: Program, choices: Choices, layer: int, pick: int, bits: Ints, found: Ints) -> int:
    """The row of a layer, -1 where there is none yet; found is told which."""
    widths = choices.widths
    i_bits, first, last = widths[layer, pick, 1], program.first_input[layer], program.first_input[layer + 1]
    if last > first:
        i_bits = 0
        for n in range(first, last):
            i_bits = max(i_bits, bits[program.inputs[n, 1]])
    out = program.output[layer]
    o_bits = bits[out] if out >= 0 else _own_output_bits(widths, layer, pick)
    row = choices.rows[layer, pick, choices.place[i_bits], choices.place[o_bits]]
    if row < 0:
        found[0], found[1], found[2], found[3], found[4] = 0, layer, pick, i_bits, o_bits
    return row


@internal
def _room(program: Program, used: float) -> int:
    """The largest room that residents leave."""
    left = program.size - used
    for r in range(program.rooms.shape[0]):
        if program.rooms[r] <= left:
            return r
    return program.rooms.shape[0] - 1


@internal
def _port_cycles(memory: Floats, reads: float, writes: float) -> float:
    reading, writing = reads / memory[READ_RATE], writes / memory[WRITE_RATE]
    return reading + writing if memory[SHARED] > 0 else max(reading, writing)


@internal
def _vector(program: Program, bits: Ints, own: int, vector: int, inside: int, out: Floats) -> None:
    """Fills out with energy outside, inside and of the arithmetic [pJ], and cycles; inside: mask of slots."""
    reads_0, reads_1, writes_0, writes_1 = 0.0, 0.0, 0.0, 0.0
    for m in range(program.first_move[vector], program.first_move[vector + 1]):
        tensor = program.moves[m, 2]
        width = bits[tensor] if tensor >= 0 else FLOAT_BITS if tensor == LEARNED else own
        amount = program.moves[m, 3] * float(width)
        slot = program.slot[tensor] if tensor >= 0 else -1
        lies_inside = slot >= 0 and (inside >> slot) & 1
        if program.moves[m, 1] == 0:
            if lies_inside:
                reads_1 += amount
            else:
                reads_0 += amount
        elif lies_inside:
            writes_1 += amount
        else:
            writes_0 += amount
    outer, inner = program.memories[OUTER], program.memories[INNER]
    port = max(_port_cycles(outer, reads_0, writes_0), _port_cycles(inner, reads_1, writes_1))
    out[0] = reads_0 * outer[READ_PJ] + writes_0 * outer[WRITE_PJ]
    out[1] = reads_1 * inner[READ_PJ] + writes_1 * inner[WRITE_PJ]
    out[2] = program.work[vector, 2]
    out[3] = np.ceil(max(port, program.work[vector, 0]) + program.work[vector, 1])


@internal
def _situation(program: Program, layer: int, inside: int) -> int:
    situation, i_mask, w_mask = 0, program.i_mask[layer], program.w_mask[layer]
    if i_mask and inside & i_mask == i_mask:
        situation |= I_INSIDE
    if w_mask and inside & w_mask == w_mask:
        situation |= W_INSIDE
    out = program.output[layer]
    if out >= 0 and program.slot[out] >= 0 and (inside >> program.slot[out]) & 1:
        situation |= O_INSIDE
    return situation


@internal
def _place(
    program: Program, choices: Choices, objective: int, picks: Ints, rows: Ints, bits: Ints, scores: Floats,
    used: Floats, died: Flags, inside: Ints, missing: Ints, count: int,
) -> int:  # fmt: skip
    """Fills inside (T) with 1 where a tensor of one candidate lies inside. Returns the number of missing prices."""
    four, leakage = np.zeros(4), program.leakage.sum()
    scores[:, :] = np.inf
    scores[0, :] = 0.0
    used[0] = 0.0
    for n in range(program.steps.shape[0]):
        kind, index, states = program.steps[n, 0], program.steps[n, 1], program.steps[n, 2]
        if kind == BIRTH or kind == DEATH:
            slot = program.slot[index]
            if slot < 0:
                continue
            bit, size = 1 << slot, program.elements[index] * bits[index]
            if kind == BIRTH:
                for state in range(states):
                    if not state & bit and scores[state, 0] < np.inf:
                        used[state | bit] = used[state] + size
                        fits = used[state | bit] <= program.size
                        scores[state | bit, 0] = scores[state, 0] if fits else np.inf
                        scores[state | bit, 1] = scores[state, 1]
            else:
                for state in range(max(states, 2 * bit)):
                    if state & bit:
                        continue
                    other = state | bit
                    better = scores[other, 0] < scores[state, 0]
                    better = better or (
                        scores[other, 0] == scores[state, 0] and scores[other, 1] < scores[state, 1]
                    )
                    died[n, state] = better
                    if better:
                        scores[state] = scores[other]
                        used[state] = used[other] - size
                    scores[other, 0] = np.inf
            continue
        for state in range(states):
            if scores[state, 0] == np.inf:
                continue
            if kind == LAYER:
                situation, room = _situation(program, index, state), _room(program, used[state])
                energy, cycles = 0.0, 0.0
                if rows[index] >= 0:
                    energy = choices.prices[rows[index], situation, room, 0]
                    cycles = choices.prices[rows[index], situation, room, 1]
                    if np.isnan(energy):
                        if count < missing.shape[0]:
                            missing[count, 0], missing[count, 1], missing[count, 2] = 1, rows[index], situation
                            missing[count, 3], missing[count, 4] = room, 0
                        count += 1
                        energy, cycles = 0.0, 0.0
            else:
                owner = program.owner[index]
                _vector(program, bits, _own_output_bits(choices.widths, owner, picks[owner]), index, state, four)
                energy, cycles = four[0] + four[1] + four[2], four[3]
            energy += leakage * cycles
            if objective == ENERGY:
                scores[state, 0] += energy
                scores[state, 1] += cycles
            elif objective == LATENCY:
                scores[state, 0] += cycles
                scores[state, 1] += energy
            else:
                scores[state, 0] += energy * cycles
                scores[state, 1] += energy
    state = 0
    for n in range(program.steps.shape[0] - 1, -1, -1):
        kind, index = program.steps[n, 0], program.steps[n, 1]
        slot = program.slot[index] if kind == BIRTH or kind == DEATH else -1
        if slot < 0:
            continue
        if kind == DEATH:
            if died[n, state]:
                state |= 1 << slot
                inside[index] = 1
        else:
            state &= ~(1 << slot)
    return count


@internal
def _sum(
    program: Program, choices: Choices, picks: Ints, rows: Ints, bits: Ints, inside: Ints, parts: Floats,
    where: Ints, missing: Ints, count: int, totals: Floats,
) -> int:  # fmt: skip
    """Fills totals with energy [pJ], cycles and peak of the activations [bit], where (L, 2) with situations and rooms.

    Energy is summed as results do: per layer its own parts, its operations outside, inside, their arithmetic, and
    what leaks in its cycles and theirs.
    """
    four = np.zeros(4)
    state, used, alive, peak, cycles = 0, 0.0, 0.0, 0.0, 0.0
    parts[:, :] = 0.0
    for n in range(program.steps.shape[0]):
        kind, index = program.steps[n, 0], program.steps[n, 1]
        if kind == BIRTH or kind == DEATH:
            size = program.elements[index] * bits[index]
            step = size if kind == BIRTH else -size
            alive += step
            peak = max(peak, alive)
            if inside[index]:
                used += step
                state ^= 1 << program.slot[index]
        elif kind == LAYER:
            situation, room = _situation(program, index, state), _room(program, used)
            where[index, 0], where[index, 1] = situation, room
            if rows[index] < 0:
                continue
            energy = choices.prices[rows[index], situation, room, 0]
            if np.isnan(energy):
                if count < missing.shape[0]:
                    missing[count, 0], missing[count, 1], missing[count, 2] = 1, rows[index], situation
                    missing[count, 3], missing[count, 4] = room, 0
                count += 1
            parts[index, 0] = energy
            parts[index, 4] += choices.prices[rows[index], situation, room, 1]
        else:
            owner = program.owner[index]
            _vector(program, bits, _own_output_bits(choices.widths, owner, picks[owner]), index, state, four)
            for k in range(3):
                parts[owner, 1 + k] += four[k]
            parts[owner, 4] += four[3]
    energy = 0.0
    for layer in range(parts.shape[0]):
        own = parts[layer, 0] + parts[layer, 1] + parts[layer, 2] + parts[layer, 3]
        for k in range(program.leakage.shape[0]):
            own += program.leakage[k] * parts[layer, 4]
        energy += own
        cycles += parts[layer, 4]
    totals[0], totals[1], totals[2] = energy, cycles, peak
    return count


@compiled
def evaluate(
    program: Program, choices: Choices, objective: int, most_states: int, picks: Ints, totals: Floats,
    inside: Ints, where: Ints, missing: Ints,
) -> int:  # fmt: skip
    """Place and price candidates.

    Args:
        program, choices: the network, and what may be chosen.
        objective: ENERGY, LATENCY or EDP.
        most_states: bound of the states of the program.
        picks: (n, L) choice of every layer, per candidate.
        totals: (n, 3) to be filled with energy [pJ], cycles and peak of the activations [bit].
        inside: (n, T) to be filled: 1 where a tensor lies inside.
        where: (n, L, 2) to be filled: situation and room of every layer.
        missing: (m, MISSING) to be filled with what has no price yet, as far as there is room.

    Returns:
        How much was missing (with repeats): until it is 0, the totals are not right.
    """
    num_tensors, num_layers = program.elements.shape[0], program.output.shape[0]
    bits, rows = np.empty(num_tensors, np.int64), np.empty(num_layers, np.int64)
    scores, used = np.empty((most_states, 2)), np.zeros(most_states)
    parts, died = np.zeros((num_layers, 5)), np.zeros((program.steps.shape[0], most_states), np.bool_)
    found, count = np.empty(MISSING, np.int64), 0
    for c in range(picks.shape[0]):
        before = count
        _tensor_bits(program, choices.widths, picks[c], bits)
        for layer in range(num_layers):
            rows[layer] = _row(program, choices, layer, picks[c, layer], bits, found)
            if rows[layer] < 0:
                if count < missing.shape[0]:
                    missing[count] = found
                count += 1
        inside[c] = 0
        if most_states > 1:
            count = _place(
                program, choices, objective, picks[c], rows, bits, scores, used, died, inside[c], missing, count
            )
        if count == before or most_states == 1:
            count = _sum(
                program, choices, picks[c], rows, bits, inside[c], parts, where[c], missing, count, totals[c]
            )
    return count
