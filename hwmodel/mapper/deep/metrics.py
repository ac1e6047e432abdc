"""What a word costs in every metric: energy, and the time of every resource that a layer may wait for.

Rows are metrics: the energy of all PEs [pJ], then lines of `hwmodel.price.lines`, one per resource: the array,
the ports of each memory from the inside out. A line is a sum over the hops of the operands, as the energy is: what
its own port does, the transfers of single-buffered memories that it waits for, first fills and last drains. Times
are those of one instance, so they hold for given numbers of places per split
(Lemma 24 of docs/explain/mapper.md).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Memory
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.ports import slow
from hwmodel.nest.task import Task
from hwmodel.network.layer import OPERANDS, Dims
from hwmodel.price.priced import mac_energy, moved_fraction
from hwmodel.price.spatial import converter_pj_per_bit, register_fraction

READ, UPDATE, FILL = range(3)
#: Kinds of rows.
ENERGY, ARRAY, INSIDE, OUTER_ALL, OUTER_READS, OUTER_WRITES = range(6)


class Metrics(NamedTuple):
    """By metric, and by level and operand where they are hops: out of a level that keeps the operand.

    Attributes:
        kind: (M) of the rows; lines come in the order of their levels.
        level: (M) of the memory whose port it is, -1 of energy and array.
        base: (M) of the layer whatever the mapping is: the energy of the MACs, the array's own cycles.
        first: (M, 3) of what the MACs ask for if no split shares it.
        near, far: (M, L, 3) of a word of a hop, at its level and at its parent.
        saved: (M, L) what the first visits of all outputs spare of the hops into and out of a level.
        finished: (M, L) what finished outputs spare of the hop into it, as they are narrower.
        arrived: (M, L) of `saved`, what belongs to the hop into the level.
        waits: (M, L, 3) 1 where the line waits for the fills of the hop's child.
        edges: (M, L, 3) 1 where its first fill (of O: last drain) goes before or after the line.
        own: (M, L, 3) what the line does of that itself, per word of the tile.
        fill_near, fill_far: (L, 3) cycles of a word of a fill, at both ports; the longer counts.
        edge_near, edge_far: (L, 3) cycles of a word of a first fill or last drain, at both ports.
        iteration: cycles of the array.
        stays: (M) 1 where an iteration of the outermost loops goes before or after a line.
    """

    kind: Ints
    level: Ints
    base: Floats
    first: Floats
    near: Floats
    far: Floats
    saved: Floats
    finished: Floats
    arrived: Floats
    waits: Floats
    edges: Floats
    own: Floats
    fill_near: Floats
    fill_far: Floats
    edge_near: Floats
    edge_far: Floats
    iteration: float
    stays: Floats


@dataclass(frozen=True)
class _Row:
    """A metric: its kind, its level, its memory (None of energy and array), and what a bit costs (L, 3, 3)."""

    kind: int
    level: int
    memory: Memory | None
    cost: Floats


def holders(keep: Ints, x: int) -> list[int]:
    """Levels that keep an operand, innermost first. keep: (L, 3)."""
    return [int(level) for level in np.flatnonzero(keep[:, x])]


class Chain:
    """Who keeps what of a task: the memories, and the hops between them. keep: (L, 3)."""

    def __init__(self, task: Task, keep: Ints) -> None:
        self.task, self.keep, self.last = task, keep, len(keep) - 1
        self._holders = [holders(keep, x) for x in range(3)]
        self.levels = task.accelerator.levels
        self.widths = np.array(task.widths, dtype=np.float64)

    def memory(self, level: int, x: int) -> Memory:
        """The memory that keeps an operand at a level; at the outermost one, its home."""
        memory = self.levels[level].memory(OPERANDS[x])
        assert memory is not None  # it keeps the operand
        return self.task.home(OPERANDS[x]) if level == self.last else memory

    def holders(self, x: int) -> list[int]:
        return self._holders[x]

    def hops(self) -> Iterator[tuple[int, int, int]]:
        """(operand, child, parent)."""
        for x in range(3):
            for child, parent in itertools.pairwise(self._holders[x]):
                yield x, child, parent

    def kept(self) -> Iterator[tuple[int, int, Memory]]:
        """(level, operand, memory), innermost first."""
        for level in range(len(self.keep)):
            for x in range(3):
                if self.keep[level, x]:
                    yield level, x, self.memory(level, x)

    def stored(self, level: int, x: int) -> float:
        """Compressed over dense bits of an operand; of O of finished outputs."""
        share = moved_fraction(self.task, self.memory(level, x), OPERANDS[x])
        wide = level == self.last and x == 1 and self.task.stay.i_bits
        return share * (wide / self.task.widths.i if wide else 1.0)

    def is_single(self, level: int, x: int) -> bool:
        memory = self.memory(level, x)
        return memory.size_bits is not None and not memory.double_buffered

    def is_double(self, level: int, x: int) -> bool:
        return self.memory(level, x).double_buffered

    def is_apart(self, level: int, x: int) -> bool:
        """Its last tile leaves after the last MAC, beside what is waited for."""
        return self.is_double(level, x) or (self.is_single(level, x) and self.levels[level].per_pe)


def metrics(task: Task, keep: Ints, dims: Dims, timed: bool, instances: Floats, compute: float) -> Metrics:
    """The metrics of a task whose layer has given (padded) dims and whose levels keep given operands.

    Args:
        timed: with lines; else the energy alone.
        instances: (L, 3) copies of the memories of an operand that are in use.
        compute: cycles of the array.
    """
    chain = Chain(task, keep)
    rows = [_Row(ENERGY, -1, None, _energy(chain))]
    if timed:
        rows += [_Row(ARRAY, -1, None, np.zeros((len(keep), 3, 3))), *_ports(chain, instances)]
    outputs = float(dims.B * dims.G * dims.K * dims.OY * dims.OX)
    shape = (len(rows), len(keep), 3)
    near, far, first = np.zeros(shape), np.zeros(shape), np.zeros((len(rows), 3))
    saved, finished, arrived = (np.zeros(shape[:2]) for _ in range(3))
    waits, edges, own = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    volume = float(math.prod(dims.values_tuple))
    for r, row in enumerate(rows):
        for x in range(3):
            first[r, x] = volume * _taken(chain, row.cost, chain.holders(x)[0], x)
        for x, child, parent in chain.hops():
            dense = chain.widths[3] if x == 2 else chain.widths[x] * chain.stored(child, x)
            near[r, child, x] = dense * row.cost[child, x, FILL]
            far[r, child, x] = _taken(chain, row.cost, parent, x)
        sums = chain.holders(2)
        for level in sums:
            arrived[r, level] = outputs * chain.widths[3] * row.cost[level, 2, READ]
            saved[r, level] = arrived[r, level] + outputs * near[r, level, 2]
            if level != sums[0]:
                finished[r, level] = outputs * _narrower(chain, level) * row.cost[level, 2, UPDATE]
        if row.kind != ENERGY:
            for x, child, parent in chain.hops():
                waits[r, child, x] = _waits(chain, row, x, child)
                edges[r, child, x], own[r, child, x] = _edge(chain, row, x, child, parent)
                if waits[r, child, x] and x == 2 and not chain.levels[child].per_pe:
                    out = _out(chain, child, parent) / instances[parent, 2]
                    far[r, child, x] += chain.widths[3] * out
                    finished[r, parent] += outputs * _narrower(chain, parent) * out
    fill, edge = _times(chain, instances)
    kinds = np.array([row.kind for row in rows], dtype=np.int64)
    return Metrics(
        kind=kinds, level=np.array([row.level for row in rows], dtype=np.int64),
        base=np.select([kinds == ENERGY, kinds == ARRAY], [mac_energy(task), compute]),
        first=first, near=near, far=far, saved=saved, finished=finished, arrived=arrived,
        waits=waits, edges=edges, own=own,
        fill_near=fill[0], fill_far=fill[1], edge_near=edge[0], edge_far=edge[1],
        iteration=compute, stays=np.array([_stays(chain, row) for row in rows]),
    )  # fmt: skip


def _taken(chain: Chain, cost: Floats, level: int, x: int) -> float:
    """Cost of a word that a level gives (of O: gives and takes) to what lies inside of it."""
    if x == 2:
        return float(chain.widths[3] * (cost[level, x, READ] + cost[level, x, UPDATE]))
    return float(chain.widths[x] * chain.stored(level, x) * cost[level, x, READ])


def _narrower(chain: Chain, level: int) -> float:
    """Bits of a sum that a finished output does not take in a memory."""
    return float(chain.widths[3] - chain.widths[2] * chain.stored(level, 2))


def without_energy(costs: Metrics) -> Metrics:
    """The metrics, but that nothing takes energy: labels are then told apart by cycles alone."""
    by_metric = ("base", "first", "near", "far", "saved", "finished", "arrived")
    lines = {name: getattr(costs, name).copy() for name in by_metric}
    for values in lines.values():
        values[0] = 0.0
    return costs._replace(**lines)


def _energy(chain: Chain) -> Floats:
    """Energy of a bit read, updated and filled [pJ], as `hwmodel.price.spatial` charges it. (L, 3, 3)"""
    cost = np.zeros((len(chain.keep), 3, 3))
    for level, x, memory in chain.kept():
        feeds = level == chain.holders(x)[0] and chain.levels[level].per_pe
        active = register_fraction(chain.task, OPERANDS[x]) if feeds else 1.0
        cost[level, x] = (
            active * memory.read_pj_per_bit, active * memory.write_pj_per_bit, memory.write_pj_per_bit
        )  # fmt: skip
        if level == chain.holders(x)[0]:
            cost[level, x, :2] += converter_pj_per_bit(chain.task, OPERANDS[x], at_home=level == chain.last)
    return cost


def _ports(chain: Chain, instances: Floats) -> Iterator[_Row]:
    """The ports that limit, each with the cycles of a bit in one instance. (L, 3, 3)"""
    places: dict[str, tuple[int, Memory, Floats, Floats]] = {}
    for level, x, memory in chain.kept():
        empty = np.zeros((len(chain.keep), 3, 3))
        home = next(n for n, own in enumerate(chain.levels) if memory in own.memories)
        _, _, read, write = places.setdefault(memory.name, (home, memory, empty, empty.copy()))
        number = instances[level, x]
        read[level, x, READ] = slow(memory.read_bits_per_cycle) / number
        write[level, x, UPDATE] = slow(memory.write_bits_per_cycle) / number
        waited = level != chain.last and chain.is_single(level, x)
        write[level, x, FILL] = 0.0 if waited else slow(memory.write_bits_per_cycle) / number
    for level, memory, read, write in places.values():
        outer = level == chain.last
        kinds = (OUTER_READS, OUTER_WRITES) if outer else (INSIDE, INSIDE)
        if memory.shared_port:
            yield _Row(OUTER_ALL if outer else INSIDE, level, memory, read + write)
        if outer or not memory.shared_port:
            for kind, cost in zip(kinds, (read, write), strict=True):
                if cost.any():
                    yield _Row(kind, level, memory, cost)


def _waits(chain: Chain, row: _Row, x: int, child: int) -> float:
    """1 where a line waits for the fills of a hop's child."""
    if not chain.is_single(child, x) or row.kind not in (ARRAY, INSIDE):
        return 0.0
    if row.memory is None:
        return 1.0
    alone = row.memory.size_bits is not None and not row.memory.double_buffered
    return float(child >= row.level + (0 if alone else 1))


def _edge(chain: Chain, row: _Row, x: int, child: int, parent: int) -> tuple[float, float]:
    """1 where the first fill (last drain) of a hop goes before or after a line; what of it the line does itself."""
    kept = chain.is_double(child, x) or chain.is_single(child, x)
    if row.kind == OUTER_READS:
        return float(x == 2 and kept), 0.0
    if row.kind == OUTER_WRITES:
        return float(kept and (x != 2 or parent != chain.last)), 0.0
    if row.kind == OUTER_ALL or (row.memory is not None and child < row.level):
        return 0.0, 0.0
    counts = chain.is_apart(child, x) if x == 2 else chain.is_double(child, x)
    own = 0.0
    if row.memory is not None and row.memory is chain.memory(child, x) and x != 2 and chain.is_double(child, x):
        writes = row.memory.shared_port or row.cost[:, :, FILL].any() or row.cost[:, :, UPDATE].any()
        own = chain.widths[x] * chain.stored(child, x) * slow(row.memory.write_bits_per_cycle) if writes else 0.0
    return float(counts), own


def _out(chain: Chain, child: int, parent: int) -> float:
    """Cycles of a bit that leaves a single-buffered memory for its parent."""
    return max(slow(chain.memory(parent, 2).write_bits_per_cycle), slow(chain.memory(child, 2).read_bits_per_cycle))


def _times(chain: Chain, instances: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Cycles of a word of a fill, and of a first fill or last drain: each at the child and at the parent. (L, 3)"""
    fill = np.zeros((len(chain.keep), 3)), np.zeros((len(chain.keep), 3))
    edge = np.zeros((len(chain.keep), 3)), np.zeros((len(chain.keep), 3))
    for x, child, parent in chain.hops():
        inner, outer = chain.memory(child, x), chain.memory(parent, x)
        width = chain.widths[3] if x == 2 else chain.widths[x]
        packed = (1.0, 1.0) if x == 2 else (chain.stored(child, x), chain.stored(parent, x))
        fill[0][child, x] = width * packed[0] * slow(inner.write_bits_per_cycle) / instances[child, x]
        fill[1][child, x] = width * packed[1] * slow(outer.read_bits_per_cycle) / instances[parent, x]
        into, out_of = (inner.write_bits_per_cycle, outer.read_bits_per_cycle)
        if x == 2:
            into, out_of = (inner.read_bits_per_cycle, outer.write_bits_per_cycle)
        edge[0][child, x] = chain.widths[x] * chain.stored(child, x) * slow(into)
        edge[1][child, x] = chain.widths[x] * chain.stored(parent, x) * slow(out_of)
    return fill, edge


def _stays(chain: Chain, row: _Row) -> float:
    """1 where an iteration of the outermost loops goes before or after a line (`hwmodel.price.lines`)."""
    last = chain.last
    beside = last - 1 if last and not chain.levels[last - 1].per_pe else last
    children = {
        x: child
        for x, child, parent in chain.hops()
        if parent == last and (chain.is_single(child, x) or chain.is_double(child, x))
    }
    if row.kind == OUTER_WRITES:
        return float(children.get(2) == beside)
    if row.kind == OUTER_READS:
        assert row.memory is not None  # it is a port
        inputs = [
            x for x in (0, 1) if OPERANDS[x] in row.memory.holds and chain.task.home(OPERANDS[x]) is row.memory
        ]
        return float(all(children.get(x) == beside for x in inputs))
    return 0.0
