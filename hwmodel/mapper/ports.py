"""The rows of the kernel's costs that are times, and what goes before and after each (`hwmodel.price.lines`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Level, Memory
from hwmodel.mapper.counting import (
    BUFFER,
    DRAM,
    FILL,
    INSIDE_BUFFER,
    INSIDE_PE,
    OUTER_ALL,
    OUTER_READS,
    OUTER_WRITES,
    OUTPUT,
    PE,
    READ,
    UPDATE,
    WAITS,
    Edges,
    Floats,
    Ints,
)
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import OPERANDS, Operand

Slots = tuple[Level | None, Level | None, Level]

#: Chips, widths and kept operands whose times are remembered.
MOST_TIMES = 4096


class PortRow(NamedTuple):
    """One port, or one side of it.

    Attributes:
        kind: what goes before and after it, as `NestInputs.kind`.
        level: slot of its memory.
        memory: it.
        cost: (3, 3, 3) cycles per bit by level and operand, read, updated and filled. Fills of a single-buffered
            memory are not among them: they are waited for (`exposed`).
    """

    kind: int
    level: int
    memory: Memory
    cost: Floats


def port_rows(kept: Iterable[tuple[int, Operand, Memory]]) -> tuple[list[PortRow], list[PortRow]]:
    """Rows that bound the cycles by themselves, and sides of shared outermost ports, which never do.

    kept: slot of a level, operand and memory that may keep it there; an operand that lies in the buffer whole has
    it in the outermost slot.
    """
    found: dict[str, tuple[int, Memory, Floats, Floats]] = {}
    for index, operand, memory in kept:
        x, empty = OPERANDS.index(operand), np.zeros((3, 3, 3))
        level, _, read, write = found.setdefault(memory.name, (index, memory, empty, empty.copy()))
        read[index, x, READ] = slow(memory.read_bits_per_cycle)
        write[index, x, UPDATE] = slow(memory.write_bits_per_cycle)
        write[index, x, FILL] = 0.0 if is_single(memory, level) else slow(memory.write_bits_per_cycle)
    rows: list[PortRow] = []
    sides: list[PortRow] = []
    for level, memory, read, write in found.values():
        inside = INSIDE_PE if level == PE else INSIDE_BUFFER
        kinds = (OUTER_READS, OUTER_WRITES) if level == DRAM else (inside, inside)
        pair = [PortRow(kind, level, memory, cost) for kind, cost in zip(kinds, (read, write), strict=True)]
        if not memory.shared_port:
            rows += pair
            continue
        rows.append(PortRow(OUTER_ALL if level == DRAM else inside, level, memory, read + write))
        sides += pair if level == DRAM else []
    return [row for row in rows if row.cost.any()], [row for row in sides if row.cost.any()]


class Times(NamedTuple):
    """What the kernel knows of time where PE and buffer keep given operands.

    Attributes:
        cost: (M - 1, 3, 3, 3) from WAITS on, as `NestInputs.cost`.
        kind: (M) as `NestInputs.kind`.
        edges: first fills and last drains.
    """

    cost: Floats
    kind: Ints
    edges: Edges


_times: dict[tuple[str, Stay, bytes, bytes, bytes], Times] = {}


def times(task: Task, rows: list[PortRow], slots: Slots, holds: Ints, widths: Floats, stored: Floats) -> Times:
    """The times of a task's chip whose PE and buffer hold these operands; found once."""
    stay = task.stay._replace(room_bits=None)
    key = (task.accelerator.fingerprint, stay, holds.tobytes(), widths.tobytes(), stored.tobytes())
    if key not in _times:
        if len(_times) >= MOST_TIMES:
            _times.clear()
        kind = np.array([-1, -1, *(row.kind for row in rows)], dtype=np.int64)
        _times[key] = Times(
            _with_waits(task, rows, slots, holds, stored), kind, _edges(task, rows, slots, holds, widths, stored)
        )
    return _times[key]


def _with_waits(task: Task, rows: list[PortRow], slots: Slots, holds: Ints, stored: Floats) -> Floats:
    """The transfers that single-buffered memories wait for, and the ports with what they wait for. (M - 1, 3, 3, 3)

    The ports of a single-buffered memory, and those inside of it, rest while it is filled or emptied.
    """
    waits = [exposed(task, level, slots, holds, stored) for level in (PE, BUFFER)]
    cost = [waits[PE] + waits[BUFFER]]
    for row in rows:
        inside = waits[BUFFER] if row.level == PE or is_single(row.memory, row.level) else 0.0
        own = waits[PE] if row.level == PE and is_single(row.memory, PE) else 0.0
        cost.append(row.cost + inside + own)
    return np.stack(cost)


def exposed(task: Task, level: int, slots: Slots, holds: Ints, stored: Floats) -> Floats:
    """(3, 3, 3) cycles per bit of the transfers of the single-buffered memories of PE or buffer.

    Into a PE both ends are there, and the kernel takes the longer (`counting.coefficients`); into the buffer, of
    which there is one, the longer stands at the buffer.
    """
    cost = np.zeros((3, 3, 3))
    for x, operand in enumerate(OPERANDS):
        pair = _ends(task, level, operand, slots, holds)
        if pair is None or not is_single(pair[0], level):
            continue
        inner, outer = pair
        read, fill = slow(outer.read_bits_per_cycle), slow(inner.write_bits_per_cycle)
        if level == PE:
            cost[_parent(level, x, holds), x, READ], cost[PE, x, FILL] = read, fill
            continue
        far, near = (1.0, 1.0) if x == OUTPUT else (stored[DRAM, x], stored[BUFFER, x])
        cost[BUFFER, x, FILL] = max(far * read, near * fill) / near
        if x == OUTPUT:
            cost[DRAM, x, UPDATE] = max(slow(outer.write_bits_per_cycle), slow(inner.read_bits_per_cycle))
    return cost


def _edges(task: Task, rows: list[PortRow], slots: Slots, holds: Ints, widths: Floats, stored: Floats) -> Edges:
    """What goes before and after the rows (behind WAITS) where PE and buffer hold these operands."""
    far, near = np.zeros((2, 3)), np.zeros((2, 3))
    double, apart = np.zeros((2, 3), dtype=np.int64), np.zeros((2, 3), dtype=np.int64)
    own, stays = np.zeros((len(rows) + WAITS + 1, 2, 3)), np.zeros(len(rows) + WAITS + 1)
    staged = [False, False, False]
    for level in (PE, BUFFER):
        for x, operand in enumerate(OPERANDS):
            pair = _ends(task, level, operand, slots, holds)
            if pair is None or not (pair[0].double_buffered or is_single(pair[0], level)):
                continue
            inner, outer = pair
            staged[x] = level == BUFFER
            ports = (outer.read_bits_per_cycle, inner.write_bits_per_cycle)
            if x == OUTPUT:
                ports = (outer.write_bits_per_cycle, inner.read_bits_per_cycle)
            far[level, x] = widths[x] * stored[_parent(level, x, holds), x] * slow(ports[0])
            near[level, x] = widths[x] * stored[level, x] * slow(ports[1])
            double[level, x] = inner.double_buffered
            apart[level, x] = inner.double_buffered or (x == OUTPUT and level == PE)
            for k, row in enumerate(rows, WAITS + 1):
                if row.memory is inner and row.memory.double_buffered and x != OUTPUT:
                    own[k, level, x] = widths[x] * stored[level, x] * row.cost[level, x, FILL]
    for k, row in enumerate(rows, WAITS + 1):
        inputs = [x for x, operand in enumerate(OPERANDS) if task.home(operand) is row.memory and x != OUTPUT]
        if row.kind == OUTER_READS:
            stays[k] = all(staged[x] for x in inputs)
        if row.kind == OUTER_WRITES:
            stays[k] = staged[OUTPUT]
    return Edges(far, near, double, apart, own, stays)


def _parent(level: int, x: int, holds: Ints) -> int:
    return BUFFER if level == PE and holds[BUFFER, x] else DRAM


def _ends(task: Task, level: int, operand: Operand, slots: Slots, holds: Ints) -> tuple[Memory, Memory] | None:
    """The memory of an operand in PE or buffer and the next one outward; None where it is not kept."""
    x, near = OPERANDS.index(operand), slots[level]
    if near is None or not holds[level, x]:
        return None
    parent = _parent(level, x, holds)
    outer = slots[parent]
    assert outer is not None  # the buffer, which holds it, or the outermost level
    ends = near.memory(operand), task.home(operand) if parent == DRAM else outer.memory(operand)
    return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])


def is_single(memory: Memory, level: int) -> bool:
    """It is filled, used and emptied in turn."""
    return level != DRAM and memory.size_bits is not None and not memory.double_buffered


def slow(bits_per_cycle: float | None) -> float:
    """Cycles of a bit; 0 where the bandwidth never limits."""
    return 1.0 / bits_per_cycle if bits_per_cycle else 0.0
