"""When a layer under a mapping ends: what each resource waits for, does, and is followed by.

A transfer between a memory and its child takes the longer of the parent's and the child's port,

    time(bits) = max(bits at the parent / its bandwidth, bits at the child / its bandwidth),

and takes from each port what that port needs for its bits: a fast port serves others between the words of a
slow one. A layer is a chain of such transfers around the array, repeated tile by tile. It ends no sooner than
every resource (the array; each port of each memory) lets it:

    cycles = max over resources of  head + busy + waiting + tail.

*Head* is what must have happened before a resource can start: F_c, the first fill of level c with a tile of
W and one of I, one after the other. *Busy* is all that it does. *Tail* follows its last work: D_c, the last
drain of a tile of O out of level c. *Waiting*: a single-buffered memory is filled, used and emptied in turn, so
that E_c, the time of all its transfers, adds to everything inside of it, and stands in place of the fills at its
own ports. Under double buffering they run beside the array, as work of their ports. Outputs leave the PEs as
they are finished: registers wait for their fills only. For a memory of level l:

    array                        F + D of all levels, compute, E of all levels
    port, double buffered        F and D of level l and outside, busy, E outside; less its own part of F_l
    port, single buffered        F and D of level l and outside, busy towards the inside, E of l and outside
    outermost port, if shared    busy: it starts at once and ends with the layer
    outermost, what is read      reads, an iteration of its loops (the last tile is worked on), D of all levels
    outermost, what is written   F of all levels, the iterations of the first tile of O, D inside, writes

F and D are those of double buffers (for single ones they are in E), in the last two lines of all. An iteration
is compute over the iterations of the outermost loops; it counts where the operands read (written) are kept in
the level next to the outermost. So what is the bottleneck's own work counts once: a layer bound by one port to
DRAM takes that port's time. Memories without a size hold everything: they add no F, D or E.

No term rises with a bandwidth. A double buffer in place of a single one with the same tiles takes away E_c and
adds at most F_c + D_c, its first and last part. Left out: the wait of a tile for another operand's on the same
port, less than a tile each; the tests walk random nests tile by tile, port by port, and say how much.

Row-stationary chips are timed as published (Chen et al., JSSC 52(1), 2017): the busiest resource, the fills of
single-buffered memories at their own port, the ramp, first fill and last drain add, and exclusive transfers come
on top. Engines fed by streams take at least their closed form (`hwmodel.chip.timing.streamed`). Machines driven by
commands have lines of their own (`hwmodel.price.commands`): passes, loads and stores, tile by tile.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace
from functools import cached_property

from hwmodel.chip.accelerator import Memory
from hwmodel.chip.timing.streamed import Streamed
from hwmodel.nest.access import AccessCounts, Networks, OperandAccess, distinct_tiles
from hwmodel.nest.mapping import Mapping, seen_by
from hwmodel.nest.task import Task
from hwmodel.network.layer import OPERANDS, RELEVANT, Operand
from hwmodel.price.commands.cycles import Phases
from hwmodel.price.ramp import ramp_cycles

#: Relative difference below which two numbers of cycles are equal.
SLACK = 1e-12


def whole(cycles: float) -> int:
    """Whole cycles, rounding noise aside."""
    return math.ceil(cycles * (1.0 - SLACK))


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What moves through one memory for one operand, all instances together.

    Attributes:
        reads_bits, writes_bits: [bit].
        fills_bits: the part of the writes that comes from the next level outward [bit].
        final_bits: the part of the writes that carries finished outputs from the next level inward [bit].
        energy_pj: [pJ].
    """

    reads_bits: float
    writes_bits: float
    fills_bits: float
    final_bits: float
    energy_pj: float

    @property
    def bits(self) -> float:
        return self.reads_bits + self.writes_bits


@dataclass(frozen=True, kw_only=True)
class Line:
    """One resource: when the layer could end if nothing else limited it [cycles].

    Attributes:
        name: "compute", or the memory.
        busy: what it does.
        waiting: transfers of single-buffered memories, and ramps, in which it rests.
        head, tail: what goes before its first and follows its last work.
    """

    name: str
    busy: float
    waiting: float = 0.0
    head: float = 0.0
    tail: float = 0.0

    @property
    def end(self) -> float:
        return self.busy + self.waiting + self.head + self.tail


@dataclass(frozen=True)
class _Hop:
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


class Timeline:
    """The lines of one layer under a mapping.

    Args:
        task, mapping, counts: as the array sees the layer.
        traffic: keyed (memory, operand).
        stored: compressed over dense bits of an operand in a memory.
        word_bits: width of W or I at a level [bit].
        compute: cycles of the array alone.
        phases: of the tiles, on a machine that is driven by commands.
    """

    def __init__(
        self,
        task: Task,
        mapping: Mapping,
        counts: AccessCounts,
        traffic: MappingType[tuple[str, Operand], Traffic],
        stored: Callable[[Memory, Operand], float],
        word_bits: Callable[[int, Operand], int],
        compute: float,
        phases: Phases | None = None,
    ) -> None:
        self.task, self.mapping, self.counts, self.traffic, self.stored = task, mapping, counts, traffic, stored
        self.layer, self.accelerator, self.widths = task.layer, task.accelerator, task.widths
        self.word_bits, self.compute, self.phases = word_bits, compute, phases
        self.last = len(self.accelerator.levels) - 1

    @property
    def published(self) -> bool:
        """The chip keeps the timing that was published for it."""
        return self.accelerator.dataflow == "row_stationary"

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """One per resource that has a bandwidth, the array first, then from the inside out."""
        if self.phases is not None:
            return self._command_lines(self.phases)
        timing = self.accelerator.timing
        lines = tuple(self._published_lines() if self.published else self._lines())
        if not isinstance(timing, Streamed):
            return lines
        longest = max(lines, key=lambda line: line.end)
        streamed = timing.cycles(self.layer, self.widths.w, self.widths.i)
        waiting = max(streamed - longest.end, 0.0)
        return (Line(name=longest.name, busy=longest.end, waiting=waiting), *lines)

    @cached_property
    def bound(self) -> Line:
        """What the layer waits for: the line that ends last."""
        return max(self.lines, key=lambda line: line.end)

    @property
    def processing(self) -> int:
        """Cycles of the layer, exclusive transfers aside."""
        return whole(self.bound.end)

    # ---- what moves between two levels ---------------------------------------------------------------

    @cached_property
    def kept(self) -> tuple[tuple[int, Memory, Operand], ...]:
        """(level index, memory, operand) of every operand that a memory keeps, innermost first."""
        return tuple(
            (index, self.memory(index, operand), operand)
            for index, level in enumerate(self.accelerator.levels)
            for operand in level.holds
            if (level.name, operand) in self.counts
        )

    def memory(self, index: int, operand: Operand) -> Memory:
        """The memory that keeps an operand at a level: at the outermost one, its home."""
        memory = self.accelerator.levels[index].memory(operand)
        assert memory is not None  # asked only where it is kept
        return self.task.home(operand) if index == self.last else memory

    def count(self, index: int, operand: Operand) -> OperandAccess:
        return self.counts[self.accelerator.levels[index].name, operand]

    @cached_property
    def hops(self) -> tuple[_Hop, ...]:
        """Every operand between every two levels that keep it."""
        return tuple(
            self._hop(operand, child, parent)
            for operand in OPERANDS
            for child, parent in itertools.pairwise(self.mapping.holders(operand))
        )

    def _hop(self, operand: Operand, child: int, parent: int) -> _Hop:
        levels = self.accelerator.levels
        inner, outer = self.memory(child, operand), self.memory(parent, operand)
        below, above = self.traffic[inner.name, operand], self.traffic[outer.name, operand]
        inside, outside = self.count(child, operand).instances, self.count(parent, operand).instances
        single = inner.size_bits is not None and not inner.double_buffered
        exposed = 0.0
        if single:
            exposed = max(
                above.reads_bits / outside * _per_bit(outer.read_bits_per_cycle),
                below.fills_bits / inside * _per_bit(inner.write_bits_per_cycle),
            )
        if single and operand == "O" and not levels[child].per_pe:
            out, back = _per_bit(outer.write_bits_per_cycle), _per_bit(inner.read_bits_per_cycle)
            partial = (above.writes_bits - above.fills_bits - above.final_bits) / outside
            exposed += (partial + above.final_bits / outside) * max(out, back)
        edge, double = self._edge(operand, child, parent), inner.double_buffered
        apart = double or (single and levels[child].per_pe)
        return _Hop(operand, child, parent, single, double, apart, exposed, edge)

    def _edge(self, operand: Operand, child: int, parent: int) -> float:
        """Cycles of one tile into every child below one instance of the parent (O: out of them)."""
        inner, outer = self.memory(child, operand), self.memory(parent, operand)
        tile = self.count(child, operand).tile
        near, far = (
            self.widths.o if operand == "O" else self.word_bits(level, operand) for level in (child, parent)
        )
        ports = (outer.read_bits_per_cycle, inner.write_bits_per_cycle)
        if operand == "O":
            ports = (outer.write_bits_per_cycle, inner.read_bits_per_cycle)
        if not ports[0]:  # only the own port limits
            return tile * near * self.stored(inner, operand) * _per_bit(ports[1])
        different = 1
        if any(level.spatial for level in self.mapping.levels[child + 1 : parent + 1]):
            own = seen_by(self.accelerator, self.mapping, operand)
            different = distinct_tiles(self.layer, own, operand, child, parent, Networks.of(self.accelerator))
        return max(
            tile * far * different * self.stored(outer, operand) * _per_bit(ports[0]),
            tile * near * self.stored(inner, operand) * _per_bit(ports[1]),
        )

    # ---- double and single buffers -------------------------------------------------------------------

    def waits(self, level: int) -> float:
        """E of a level and all outside of it."""
        return sum(hop.exposed for hop in self.hops if hop.child >= level)

    def fills(self, level: int, double_only: bool = True) -> float:
        """F of a level and all outside of it."""
        return sum(
            hop.edge
            for hop in self.hops
            if hop.child >= level and hop.operand != "O" and (hop.double or (hop.single and not double_only))
        )

    def drains(self, level: int, apart_only: bool = True) -> float:
        """D of a level and all outside of it; the time of those that are not `apart` is in E."""
        return sum(
            hop.edge
            for hop in self.hops
            if hop.child >= level and hop.operand == "O" and (hop.apart or (hop.single and not apart_only))
        )

    def _lines(self) -> Iterator[Line]:
        yield Line(
            name="compute", busy=self.compute, waiting=self.waits(0), head=self.fills(0), tail=self.drains(0)
        )
        for index, level in enumerate(self.accelerator.levels):
            for memory in level.memories:
                yield from self._outermost(memory) if index == self.last else self._inside(index, memory)

    def _inside(self, index: int, memory: Memory) -> Iterator[Line]:
        """The ports of a memory that has a parent."""
        reads, updates, fills = self._port(memory)
        if memory.size_bits is not None and not memory.double_buffered:
            waiting, fills, first = self.waits(index), 0.0, 0.0
        else:
            waiting, first = self.waits(index + 1), self._first_fill(index, memory)
        head, tail = self.fills(index), self.drains(index)
        ports = [(reads, 0.0), (updates + fills, first)]
        for busy, own in [(reads + updates + fills, first)] if memory.shared_port else ports:
            if busy > 0:
                yield Line(name=memory.name, busy=busy, waiting=waiting, head=head - own, tail=tail)

    def _outermost(self, memory: Memory) -> Iterator[Line]:
        """The ports of an outermost memory: as a whole, then what is read and what is written."""
        last = self.last
        near = last - 1 if last and not self.accelerator.levels[last - 1].per_pe else last  # the level beside
        reads, writes, _ = self._port(memory)
        if memory.shared_port and reads + writes > 0:
            yield Line(name=memory.name, busy=reads + writes)
        iteration = self.compute / math.prod(loop.bound for loop in self.mapping.levels[last].temporal)
        children = {
            hop.operand: hop.child for hop in self.hops if hop.parent == last and (hop.single or hop.double)
        }
        if reads > 0:
            inputs = [operand for operand in memory.holds if operand != "O" and self.task.home(operand) is memory]
            last_tile = iteration if all(children.get(operand) == near for operand in inputs) else 0.0
            yield Line(name=memory.name, busy=reads, tail=last_tile + self.drains(0, apart_only=False))
        if writes > 0:
            first_tile = self._outer_stay() * iteration if children.get("O") == near else 0.0
            inside = self.drains(0, apart_only=False) - sum(
                hop.edge
                for hop in self.hops
                if hop.operand == "O" and hop.parent == last and (hop.single or hop.double)
            )
            head = self.fills(0, double_only=False) + first_tile + inside
            yield Line(name=memory.name, busy=writes, head=head)

    def _outer_stay(self) -> int:
        """Iterations of the outermost loops in which one tile of O stays."""
        stay = 1
        for loop in reversed(self.mapping.levels[-1].temporal):
            if loop.bound > 1 and loop.dim in RELEVANT["O"]:
                break
            stay *= loop.bound
        return stay

    def _first_fill(self, index: int, memory: Memory) -> float:
        """Cycles of a double-buffered memory's own port in its first fill."""
        if not memory.double_buffered:
            return 0.0
        widths = {"W": self.widths.w, "I": self.widths.i}
        return sum(
            self.count(index, operand).tile * width * self.stored(memory, operand)
            * _per_bit(memory.write_bits_per_cycle)
            for operand, width in widths.items()
            if operand in memory.holds and operand in self.mapping.levels[index].keeps
        )  # fmt: skip

    def _port(self, memory: Memory) -> tuple[float, float, float]:
        """Cycles of one instance: reads, writes from the inside, fills; exclusive transfers aside."""
        return self._ports.get(memory.name, (0.0, 0.0, 0.0))

    @cached_property
    def _ports(self) -> dict[str, tuple[float, float, float]]:
        ports: dict[str, tuple[float, float, float]] = {}
        for index, memory, operand in self.kept:
            reads, updates, fills = ports.setdefault(memory.name, (0.0, 0.0, 0.0))
            if operand not in memory.exclusive:
                item, instances = self.traffic[memory.name, operand], self.count(index, operand).instances
                slow = _per_bit(memory.write_bits_per_cycle) / instances
                reads += item.reads_bits / instances * _per_bit(memory.read_bits_per_cycle)
                updates += (item.writes_bits - item.fills_bits) * slow
                ports[memory.name] = (reads, updates, fills + item.fills_bits * slow)
        return ports

    @cached_property
    def port_halves(self) -> dict[str, tuple[float, float]]:
        """memory -> (reads, writes) of its busiest instance, exclusive transfers aside [cycles].

        Of a machine driven by commands: loads and stores of all tiles, at the homes of W and O.
        """
        if self.phases is not None:
            loads, stores = (
                float(part[0] * self.phases.tiles[0]) for part in (self.phases.loads, self.phases.stores)
            )
            source, sink = self.task.home("W").name, self.task.home("O").name
            return {
                name: (loads if name == source else 0.0, stores if name == sink else 0.0) for name in self._ports
            }
        return {name: (reads, updates + fills) for name, (reads, updates, fills) in self._ports.items()}

    # ---- chips with a timing of their own ------------------------------------------------------------

    def _published_lines(self) -> Iterator[Line]:
        """A row-stationary chip: what is beside the busiest resource adds to whichever that is."""
        waiting = ramp_cycles(self.task, self.mapping) + sum(
            self.traffic[memory.name, operand].fills_bits
            / self.count(index, operand).instances
            * _per_bit(memory.write_bits_per_cycle)
            for index, memory, operand in self.kept
            if index < self.last and memory.size_bits is not None and not memory.double_buffered
        )
        edges = tuple(self._published_edges())
        head = sum(cycles for operand, cycles in edges if operand != "O")
        tail = sum(cycles for operand, cycles in edges if operand == "O")
        memories = self.accelerator.memories()
        yield Line(name="compute", busy=self.compute, waiting=waiting, head=head, tail=tail)
        for name, halves in self.port_halves.items():
            ports = sum(halves) if memories[name].shared_port else max(halves)
            busy = max(ports, self.networks.get(name, 0.0))
            yield Line(name=name, busy=busy, waiting=waiting, head=head, tail=tail)

    def _command_lines(self, phases: Phases) -> tuple[Line, ...]:
        """Passes, loads and stores of all tiles; before them the longest, with its wait for tiles in flight."""
        tiles, loads, passes, stores, last = (
            float(part[0])
            for part in (phases.tiles, phases.loads, phases.passes, phases.stores, phases.last_stores)
        )
        lines = (
            Line(name="compute", busy=tiles * passes, head=loads, tail=last),
            Line(name=self.task.home("W").name, busy=tiles * loads, tail=passes + last),
            Line(name=self.task.home("O").name, busy=tiles * stores, head=loads + passes, tail=last - stores),
        )
        longest = max(lines, key=lambda line: line.end)
        return (replace(longest, waiting=max(float(phases.total[0]) - longest.end, 0.0)), *lines)

    def _published_edges(self) -> Iterator[tuple[Operand, float]]:
        """First fills (W, I) and last drains (O) of double buffers: one tile, at the parent's bandwidth."""
        for hop in self.hops:
            outer = self.accelerator.levels[hop.parent].memory(hop.operand)
            if hop.double and outer is not None:
                port = outer.write_bits_per_cycle if hop.operand == "O" else outer.read_bits_per_cycle
                width = {"W": self.widths.w, "I": self.widths.i, "O": self.widths.o}[hop.operand]
                bits = self.count(hop.child, hop.operand).tile * width * self.stored(outer, hop.operand)
                yield hop.operand, bits * _per_bit(port)

    @cached_property
    def networks(self) -> dict[str, float]:
        """Cycles that the networks which fill the memories of the PEs need."""
        busy: dict[str, float] = {}
        for _, memory, operand in self.kept:
            busy[memory.name] = busy.get(memory.name, 0.0) + self._network(memory, operand)
        return busy

    def _network(self, memory: Memory, operand: Operand) -> float:
        """Cycles of the network between a per-PE memory and its parent, one way at a time."""
        holders = self.mapping.holders(operand)
        if memory.network_bits_per_cycle is None or operand == "W" or len(holders) < 2:
            return 0.0
        parent = self.count(holders[1], operand)
        width = self.widths.i if operand == "I" else self.widths.acc
        return max(parent.reads, parent.updates) * width / memory.network_bits_per_cycle

    @cached_property
    def exclusive(self) -> float:
        """Cycles of the transfers beside which the array stands still."""
        memories = self.accelerator.memories()
        return sum(
            item.reads_bits * _per_bit(memories[name].read_bits_per_cycle)
            + item.writes_bits * _per_bit(memories[name].write_bits_per_cycle)
            for (name, operand), item in self.traffic.items()
            if operand in memories[name].exclusive
        )


def _per_bit(bits_per_cycle: float | None) -> float:
    """Cycles of a bit; 0 where the bandwidth never limits."""
    return 1.0 / bits_per_cycle if bits_per_cycle else 0.0
