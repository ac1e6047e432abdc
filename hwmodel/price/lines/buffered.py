"""Lines of the array and of every port around it, by what is double-buffered and what is not.

A layer is a chain of transfers around the array, repeated tile by tile. *Head* is what must have happened before a
resource can start: F_c, the first fill of level c with a tile of W and one of I, one after the other. *Busy* is all
that it does. *Tail* follows its last work: D_c, the last drain of a tile of O out of level c. *Waiting*: a
single-buffered memory is filled, used and emptied in turn, so that E_c, the time of all its transfers, adds to
everything inside of it, and stands in place of the fills at its own ports. Under double buffering they run beside
the array, as work of their ports. Outputs leave the PEs as they are finished: registers wait for their fills only.
For a memory of level l:

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
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from hwmodel.chip.accelerator import Memory
from hwmodel.nest.mapping import Loop
from hwmodel.network.layer import RELEVANT, Operand
from hwmodel.price.lines.line import Line, per_bit
from hwmodel.price.lines.transfers import Port, Transfers


class BufferedLines:
    """The lines of one layer under a mapping.

    Args:
        moved: between the memories.
        compute: cycles of the array alone.
    """

    def __init__(self, moved: Transfers, compute: float) -> None:
        self.moved, self.compute = moved, compute
        self.accelerator, self.mapping, self.last = moved.accelerator, moved.mapping, moved.last

    def __iter__(self) -> Iterator[Line]:
        """One per resource that has a bandwidth, the array first, then from the inside out."""
        yield Line(
            name="compute", busy=self.compute, waiting=self.waits(0), head=self.fills(0), tail=self.drains(0)
        )
        for index, level in enumerate(self.accelerator.levels):
            for memory in level.memories:
                yield from self.outermost(memory) if index == self.last else self.inside(index, memory)

    def waits(self, level: int) -> float:
        """E of a level and all outside of it."""
        return sum(hop.exposed for hop in self.moved.hops if hop.child >= level)

    def fills(self, level: int, double_only: bool = True) -> float:
        """F of a level and all outside of it."""
        return sum(
            hop.edge
            for hop in self.moved.hops
            if hop.child >= level and hop.operand != "O" and (hop.double or (hop.single and not double_only))
        )

    def drains(self, level: int, apart_only: bool = True) -> float:
        """D of a level and all outside of it; the time of those that are not `apart` is in E."""
        return sum(
            hop.edge
            for hop in self.moved.hops
            if hop.child >= level and hop.operand == "O" and (hop.apart or (hop.single and not apart_only))
        )

    def inside(self, index: int, memory: Memory) -> Iterator[Line]:
        """The ports of a memory that has a parent."""
        reads, updates, fills = self.port(memory)
        if memory.size_bits is not None and not memory.double_buffered:
            waiting, fills, first = self.waits(index), 0.0, 0.0
        else:
            waiting, first = self.waits(index + 1), self.first_fill(index, memory)
        head, tail = self.fills(index), self.drains(index)
        ports = [(reads, 0.0), (updates + fills, first)]
        for busy, own in [(reads + updates + fills, first)] if memory.shared_port else ports:
            if busy > 0:
                yield Line(name=memory.name, busy=busy, waiting=waiting, head=head - own, tail=tail)

    def outermost(self, memory: Memory) -> Iterator[Line]:
        """The ports of an outermost memory: as a whole, then what is read and what is written."""
        last = self.last
        near = last - 1 if last and not self.accelerator.levels[last - 1].per_pe else last  # the level beside
        reads, writes, _ = self.port(memory)
        if memory.shared_port and reads + writes > 0:
            yield Line(name=memory.name, busy=reads + writes)
        beside = [hop for hop in self.moved.hops if hop.parent == last and (hop.single or hop.double)]
        children = {hop.operand: hop.child for hop in beside}
        if reads > 0:
            inputs = [o for o in memory.holds if o != "O" and self.moved.task.home(o) is memory]
            beside_all = all(children.get(operand) == near for operand in inputs)
            last_tile = min((self.iteration(operand) for operand in inputs), default=0.0) if beside_all else 0.0
            yield Line(name=memory.name, busy=reads, tail=last_tile + self.drains(0, apart_only=False))
        if writes > 0:
            first_tile = self.outer_stay() * self.iteration("O") if children.get("O") == near else 0.0
            drained = sum(hop.edge for hop in beside if hop.operand == "O")
            inside = self.drains(0, apart_only=False) - drained
            head = self.fills(0, double_only=False) + first_tile + inside
            yield Line(name=memory.name, busy=writes, head=head)

    def iteration(self, operand: Operand) -> float:
        """Cycles of the array in an iteration of the loops outside of all tiles of an operand."""
        return self.compute / math.prod(loop.bound for loop in self.outermost_loops(operand))

    def outermost_loops(self, operand: Operand) -> tuple[Loop, ...]:
        """Temporal loops outside of all tiles of an operand."""
        return self.mapping.cut_for(operand).levels[-1].temporal

    def outer_stay(self) -> int:
        """Iterations of the outermost loops in which one tile of O stays."""
        stay = 1
        for loop in reversed(self.outermost_loops("O")):
            if loop.bound > 1 and loop.dim in RELEVANT["O"]:
                break
            stay *= loop.bound
        return stay

    def first_fill(self, index: int, memory: Memory) -> float:
        """Cycles of a double-buffered memory's own port in its first fill."""
        if not memory.double_buffered:
            return 0.0
        widths = {"W": self.moved.widths.w, "I": self.moved.widths.i}
        return sum(
            self.moved.count(index, operand).tile * width * self.moved.stored(memory, operand)
            * per_bit(memory.write_bits_per_cycle)
            for operand, width in widths.items()
            if operand in memory.holds and operand in self.mapping.levels[index].keeps
        )  # fmt: skip

    def port(self, memory: Memory) -> Port:
        return self.moved.ports.get(memory.name, Port())
