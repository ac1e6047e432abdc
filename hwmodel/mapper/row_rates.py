"""What the row-stationary search pays per feature of a candidate: energy, ports, waiting, exclusive transfers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwmodel.chip.accelerator import Accelerator, Memory, Widths
from hwmodel.mapper.counting import Floats
from hwmodel.mapper.row_counting import (
    CARRIED,
    DONE,
    HELD,
    NUM_FEATURES,
    OUTSIDE,
    REREAD,
    RETURNED,
    STEPS,
    TILE,
    WAITING,
    WINDOWS,
    WORDS,
)
from hwmodel.mapper.row_search import ENERGY_ROW, EXCLUSIVE_ROW, PORTS, WAIT_ROW
from hwmodel.network.layer import OPERANDS, Operand
from hwmodel.price.lines.line import per_bit

#: (feature, bits of a word)
Terms = Sequence[tuple[int, int]]


def search_rates(accelerator: Accelerator, widths: Widths, i_bits: int) -> Floats:
    """Rates (M, NUM_FEATURES) of a dense layer: what `price` charges, as far as it depends on the mapping.

    i_bits: width of I in the outermost memory [bit]. Row 0: energy [pJ]; 1: exclusive transfers; 2: waiting; then a
    port or network each [cycles]. Empty ports are left out.
    """
    rows: list[Floats] = [np.zeros(NUM_FEATURES) for _ in range(PORTS)]
    for level in range(3):
        for memory in accelerator.levels[level].memories:
            reading, writing, network = (np.zeros(NUM_FEATURES) for _ in range(3))
            for operand in memory.holds:
                reads, writes, fills = _moves(level, operand, widths._replace(i=i_bits) if level == 2 else widths)
                _add(rows[ENERGY_ROW], reads, memory.read_pj_per_bit)
                _add(rows[ENERGY_ROW], writes, memory.write_pj_per_bit)
                slow_read, slow_write = per_bit(memory.read_bits_per_cycle), per_bit(memory.write_bits_per_cycle)
                if operand in memory.exclusive:
                    _add(rows[EXCLUSIVE_ROW], reads, slow_read)
                    _add(rows[EXCLUSIVE_ROW], writes, slow_write)
                else:
                    _add(reading, reads, slow_read)
                    _add(writing, writes, slow_write)
                if memory.size_bits is not None and not memory.double_buffered:
                    _add(rows[WAIT_ROW], fills, slow_write)
                if level == 0:
                    _network(memory, operand, widths, rows, network)
                if memory.double_buffered and level < 2:
                    _edge(accelerator, level, operand, widths, rows[WAIT_ROW])
            rows += [reading + writing] if memory.shared_port else [reading, writing]
            rows.append(network)
    return np.stack([row for n, row in enumerate(rows) if n < PORTS or row.any()])


def _moves(level: int, operand: Operand, widths: Widths) -> tuple[Terms, Terms, Terms]:
    """What is read from a memory, written to it, and the part of the writes that comes from outside."""
    x, width = OPERANDS.index(operand), _width(operand, widths)
    if level == 0 and operand == "O":
        back: Terms = [(RETURNED, width)]
        return [(REREAD, width)], [(STEPS, width), *back], back
    if level == 0:
        return [(STEPS, width)], [(WORDS + x, width)], [(WORDS + x, width)]
    if operand == "O":
        waiting: Terms = [(WAITING, width)] if level == 1 else []
        return waiting, [*waiting, (DONE, widths.o)], []
    into: Terms = [(OUTSIDE, width)] if operand == "I" else [(CARRIED + x, width)]
    return ([(CARRIED + x, width)], into, into) if level == 1 else (into, [], [])


def _network(memory: Memory, operand: Operand, widths: Widths, rows: list[Floats], busy: Floats) -> None:
    """Adds the network between the PEs and the level above: its energy, its time, and the ramp of every pass."""
    x, width, slow = OPERANDS.index(operand), _width(operand, widths), per_bit(memory.network_bits_per_cycle)
    _add(rows[ENERGY_ROW], [(WORDS + x, width)], memory.network_pj_per_bit)
    if operand != "W":
        _add(busy, [(CARRIED + x, width)], slow)
    if operand != "O":
        _add(rows[WAIT_ROW], [(CARRIED if operand == "W" else WINDOWS, width)], slow)


def _edge(accelerator: Accelerator, level: int, operand: Operand, widths: Widths, row: Floats) -> None:
    """Adds first fill or last drain of a double-buffered memory, at the bandwidth of the next one outward."""
    memories = (outer.memory(operand) for outer in accelerator.levels[level + 1 :])
    outer = next(memory for memory in memories if memory is not None)
    x, width = OPERANDS.index(operand), widths.o if operand == "O" else _width(operand, widths)
    tile = TILE + x if level == 0 else HELD + x - 1
    slow = outer.write_bits_per_cycle if operand == "O" else outer.read_bits_per_cycle
    _add(row, [(tile, width)], per_bit(slow))


def _add(row: Floats, terms: Terms, per_bit: float) -> None:
    for feature, width in terms:
        row[feature] += width * per_bit


def _width(operand: Operand, widths: Widths) -> int:
    return {"W": widths.w, "I": widths.i, "O": widths.acc}[operand]
