"""What the compiled placement and its sums share: a network in numbers, and candidates in blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.place.telling import I_INSIDE, O_INSIDE, ROW, W_INSIDE, Flags, Told, tell
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
        floors: (rows, situations, FLOORS) bounds of them.
    """

    widths: Ints
    place: Ints
    rows: Ints
    prices: Floats
    floors: Floats


class Block(NamedTuple):
    """What is known of B candidates while they are placed and summed.

    Attributes:
        bits, sizes: (T, B) width and size of every tensor [bit].
        own: (L, B) width of outputs that no tensor holds [bit].
        rows: (L, B) of the prices.
        lacks: (B) a row or a bound of some layer is not known yet.
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
def zeros(count: int) -> Floats:
    """As `np.zeros`, in a fraction of the time to compile."""
    values = np.empty(count)
    for n in range(count):
        values[n] = 0.0
    return values


@internal
def all_of(count: int, value: int) -> Ints:
    """As `np.full`, in a fraction of the time to compile."""
    values = np.empty(count, np.int64)
    for n in range(count):
        values[n] = value
    return values


@internal
def total(values: Floats) -> float:
    """The sum (n), from the first to the last."""
    added = 0.0
    for n in range(values.shape[0]):
        added += values[n]
    return added


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
def situation_at(i_mask: int, w_mask: int, o_mask: int, state: int) -> int:
    situation = 0
    if i_mask and state & i_mask == i_mask:
        situation |= I_INSIDE
    if w_mask and state & w_mask == w_mask:
        situation |= W_INSIDE
    if state & o_mask:
        situation |= O_INSIDE
    return situation


@internal
def port_cycles(memory: Floats, reads: float, writes: float) -> float:
    reading, writing = reads / memory[READ_RATE], writes / memory[WRITE_RATE]
    return reading + writing if memory[SHARED] > 0 else max(reading, writing)


@internal
def run_vector(program: Program, block: Block, vector: int, states: Ints) -> None:
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
        port = port_cycles(outer, moved[0, b], moved[1, b])
        if moved[2, b] + moved[3, b] > 0:
            port = max(port, port_cycles(inner, moved[2, b], moved[3, b]))
        cost[0, b] = moved[0, b] * outer[READ_PJ] + moved[1, b] * outer[WRITE_PJ]
        cost[1, b] = moved[2, b] * inner[READ_PJ] + moved[3, b] * inner[WRITE_PJ]
        cost[2, b] = np.ceil(max(port, work[0]) + work[1])
