"""Transfers of a layer between the memories of a chip, under a mapping.

A transfer between a memory and its child takes the longer of the parent's and the child's port,

    time(bits) = max(bits at the parent / its bandwidth, bits at the child / its bandwidth),

and takes from each port what that port needs for its bits: a fast port serves others between the words of a
slow one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hwmodel.chip.accelerator import Memory
from hwmodel.nest.access import AccessCounts, Networks, OperandAccess, distinct_tiles
from hwmodel.nest.mapping import Mapping, seen_by
from hwmodel.nest.task import Task
from hwmodel.network.layer import OPERANDS, Operand
from hwmodel.price.lines.line import per_bit
from hwmodel.price.priced import moved_fraction
from hwmodel.price.traffic import Traffic


class Port(NamedTuple):
    """What the ports of one instance of a memory do, exclusive transfers aside [cycles].

    Attributes:
        reads: to the inside and to the outside.
        updates: writes from the inside.
        fills: writes from the outside.
    """

    reads: float = 0.0
    updates: float = 0.0
    fills: float = 0.0

    @property
    def halves(self) -> tuple[float, float]:
        """(reads, writes)."""
        return self.reads, self.updates + self.fills


@dataclass(frozen=True)
class Hop:
    """What an operand does between a memory that keeps it and the next one outward.

    Attributes:
        operand, child, parent: and the levels' indices.
        single: the child is filled, used and emptied in turn.
        double: half of the child is filled while the other half is used.
        apart: its last tile leaves after the last MAC, beside `exposed` (O).
        exposed: time of all transfers that the inside of a single-buffered child waits for [cycles].
        edge: time of one tile: the first fill of W or I, the last drain of O [cycles].
    """

    operand: Operand
    child: int
    parent: int
    single: bool
    double: bool
    apart: bool
    exposed: float
    edge: float


def kept_operands(task: Task, counts: AccessCounts) -> Iterator[tuple[int, Memory, Operand]]:
    """(level index, memory, operand) of every operand that a memory keeps, innermost first: outermost, its home."""
    outermost = len(task.accelerator.levels) - 1
    for index, level in enumerate(task.accelerator.levels):
        for memory in level.memories:
            for operand in memory.holds:
                if (level.name, operand) in counts:
                    yield index, task.home(operand) if index == outermost else memory, operand


def word_bits(task: Task, index: int, operand: Operand) -> int:
    """Width of W or I at a level [bit]; I may lie wider in its home than the layer reads it."""
    if operand == "W":
        return task.widths.w
    outermost = index == len(task.accelerator.levels) - 1
    return (outermost and task.stay.i_bits) or task.widths.i


class Transfers:
    """What moves between the memories for one layer under a mapping.

    Args:
        task, mapping, counts: as the array sees the layer.
        traffic: keyed (memory, operand).
    """

    def __init__(
        self,
        task: Task,
        mapping: Mapping,
        counts: AccessCounts,
        traffic: MappingType[tuple[str, Operand], Traffic],
    ) -> None:
        self.task, self.mapping, self.counts, self.traffic = task, mapping, counts, traffic
        self.layer, self.accelerator, self.widths = task.layer, task.accelerator, task.widths
        self.last = len(self.accelerator.levels) - 1

    @cached_property
    def kept(self) -> tuple[tuple[int, Memory, Operand], ...]:
        """As `kept_operands`."""
        return tuple(kept_operands(self.task, self.counts))

    def memory(self, index: int, operand: Operand) -> Memory:
        """The memory that keeps an operand at a level: at the outermost one, its home."""
        memory = self.accelerator.levels[index].memory(operand)
        assert memory is not None  # asked only where it is kept
        return self.task.home(operand) if index == self.last else memory

    def count(self, index: int, operand: Operand) -> OperandAccess:
        return self.counts[self.accelerator.levels[index].name, operand]

    def stored(self, memory: Memory, operand: Operand) -> float:
        """As `moved_fraction`."""
        return moved_fraction(self.task, memory, operand)

    @cached_property
    def hops(self) -> tuple[Hop, ...]:
        """Every operand between every two levels that keep it."""
        return tuple(
            self._hop(operand, child, parent)
            for operand in OPERANDS
            for child, parent in itertools.pairwise(self.mapping.holders(operand))
        )

    def _hop(self, operand: Operand, child: int, parent: int) -> Hop:
        levels = self.accelerator.levels
        inner, outer = self.memory(child, operand), self.memory(parent, operand)
        below, above = self.traffic[inner.name, operand], self.traffic[outer.name, operand]
        inside, outside = self.count(child, operand).instances, self.count(parent, operand).instances
        single = inner.size_bits is not None and not inner.double_buffered
        exposed = 0.0
        if single:
            exposed = max(
                self._bits_for_fills(operand, child, parent) * per_bit(outer.read_bits_per_cycle),
                below.fills_bits / inside * per_bit(inner.write_bits_per_cycle),
            )
        if single and operand == "O" and not levels[child].per_pe:
            out, back = per_bit(outer.write_bits_per_cycle), per_bit(inner.read_bits_per_cycle)
            partial = (above.writes_bits - above.fills_bits - above.final_bits) / outside
            exposed += (partial + above.final_bits / outside) * max(out, back)
        edge, double = self._edge(operand, child, parent), inner.double_buffered
        apart = double or (single and levels[child].per_pe)
        return Hop(operand, child, parent, single, double, apart, exposed, edge)

    def _bits_for_fills(self, operand: Operand, child: int, parent: int) -> float:
        """What one instance of the parent reads for the fills below it [bit].

        Of sums not what it reads to add to: places that are served alone bring theirs one by one.
        """
        near, far = self.count(child, operand), self.count(parent, operand)
        if operand != "O":
            return self.traffic[self.memory(parent, operand).name, operand].reads_bits / far.instances
        leaving = near.fills + near.updates - near.reads  # every tile that comes or begins leaves again
        return near.fills * (far.updates / leaving) * self.widths.acc

    def _edge(self, operand: Operand, child: int, parent: int) -> float:
        """Cycles of one tile into every child below one instance of the parent (O: out of them)."""
        inner, outer = self.memory(child, operand), self.memory(parent, operand)
        tile = self.count(child, operand).tile
        near, far = (
            self.widths.o if operand == "O" else word_bits(self.task, level, operand) for level in (child, parent)
        )
        ports = (outer.read_bits_per_cycle, inner.write_bits_per_cycle)
        if operand == "O":
            ports = (outer.write_bits_per_cycle, inner.read_bits_per_cycle)
        if not ports[0]:  # only the own port limits
            return tile * near * self.stored(inner, operand) * per_bit(ports[1])
        different = 1
        if any(level.spatial for level in self.mapping.levels[child + 1 : parent + 1]):
            own = seen_by(self.accelerator, self.mapping, operand)
            different = distinct_tiles(self.layer, own, operand, child, parent, Networks.of(self.accelerator))
        return max(
            tile * far * different * self.stored(outer, operand) * per_bit(ports[0]),
            tile * near * self.stored(inner, operand) * per_bit(ports[1]),
        )

    @cached_property
    def ports(self) -> dict[str, Port]:
        """By memory, of its busiest instance."""
        ports: dict[str, Port] = {}
        for index, memory, operand in self.kept:
            own = ports.setdefault(memory.name, Port())
            if operand not in memory.exclusive:
                item, instances = self.traffic[memory.name, operand], self.count(index, operand).instances
                slow = per_bit(memory.write_bits_per_cycle) / instances
                ports[memory.name] = Port(
                    own.reads + item.reads_bits / instances * per_bit(memory.read_bits_per_cycle),
                    own.updates + (item.writes_bits - item.fills_bits) * slow,
                    own.fills + item.fills_bits * slow,
                )
        return ports

    @property
    def exclusive(self) -> float:
        """Cycles of the transfers beside which the array stands still."""
        memories = self.accelerator.memories()
        return sum(
            item.reads_bits * per_bit(memories[name].read_bits_per_cycle)
            + item.writes_bits * per_bit(memories[name].write_bits_per_cycle)
            for (name, operand), item in self.traffic.items()
            if operand in memories[name].exclusive
        )
