"""Why a mapping costs what it costs: how full each memory is, how busy each port, how much of the array works."""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass

from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.nest.mapping import Loop, Mapping, footprint, seen_by
from hwmodel.nest.task import ALONE, Stay, Task
from hwmodel.nest.view import array_view
from hwmodel.network.layer import OPERANDS, Layer, Operand
from hwmodel.price.spatial import price


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """One memory under a mapping; sizes are of one instance.

    Attributes:
        name, level: of the memory and of its level.
        resident: operands that lie here whole, of a layer in a network.
        room_bits: what the tensors that lie here leave to tiles [bit], None when unbounded.
        tiles: operand -> words of its tile, for the operands kept here.
        tile_bits: operand -> bits of its tile.
        copies: 2 where the memory is double buffered, else 1.
        size_bits: capacity [bit], None when unbounded.
        instances: copies of the memory in use.
    """

    name: str
    level: str
    resident: tuple[Operand, ...]
    room_bits: float | None
    tiles: MappingType[Operand, int]
    tile_bits: MappingType[Operand, int]
    copies: int
    size_bits: float | None
    instances: int

    @property
    def used_bits(self) -> int:
        """Bits that tiles take, both copies of a double buffer counted."""
        return self.copies * sum(self.tile_bits.values())

    @property
    def fill(self) -> float | None:
        """used / size, None when unbounded."""
        return None if self.size_bits is None else self.used_bits / self.size_bits


@dataclass(frozen=True, kw_only=True)
class PortUse:
    """The port of one memory (its busiest instance).

    Attributes:
        name: of the memory.
        read_cycles, write_cycles: 0 where the bandwidth never limits [cycles].
        shared: reads and writes share one port, so that their cycles add.
        limited: the memory, or the network that fills it, states a bandwidth.
        network_cycles: of that network.
    """

    name: str
    read_cycles: float
    write_cycles: float
    network_cycles: float
    shared: bool
    limited: bool

    @property
    def cycles(self) -> float:
        """Cycles in which the port, or the network behind it, is busy."""
        pair = (self.read_cycles, self.write_cycles)
        return max(sum(pair) if self.shared else max(pair), self.network_cycles)


@dataclass(frozen=True, kw_only=True)
class AxisUse:
    """One axis of the array.

    Attributes:
        name, size: of the axis.
        loops: unrolled along it.
    """

    name: str
    size: int
    loops: tuple[Loop, ...]

    @property
    def used(self) -> int:
        """PEs along the axis that work."""
        return math.prod(loop.bound for loop in self.loops)

    @property
    def utilization(self) -> float:
        return self.used / self.size


@dataclass(frozen=True, kw_only=True)
class MappingExplanation:
    """One layer under one mapping, in parts.

    cycles = ceil(busy + waiting + first_fill + last_drain) of the bound: the resource that ends last.

    Attributes:
        memories: innermost first.
        ports: innermost first.
        axes: of the array.
        array_cycles: temporal iterations over the MACs per PE and cycle.
        macs_per_cycle: of one PE at the layer's widths.
        padding: iterations over MACs, 1 where no dim is padded.
        busy_cycles: of the bound: the array's, or of all or one side of a port.
        waiting_cycles: it waits for fills, first windows or transfers that the array cannot compute beside.
        first_fill_cycles, last_drain_cycles: before its first and after its last work.
        cycles: of the layer.
        bound: "compute", or the memory whose port the layer waits for.
        utilization: MACs that are not skipped over what the array could do in these cycles.
    """

    memories: tuple[MemoryUse, ...]
    ports: tuple[PortUse, ...]
    axes: tuple[AxisUse, ...]
    array_cycles: float
    macs_per_cycle: float
    padding: float
    busy_cycles: float
    waiting_cycles: float
    first_fill_cycles: float
    last_drain_cycles: float
    cycles: int
    bound: str
    utilization: float

    @property
    def array_share(self) -> float:
        """Share of the PEs that work: the product over the axes."""
        return math.prod(axis.utilization for axis in self.axes)


def explain_mapping(
    layer: Layer, accelerator: Accelerator, mapping: Mapping, stay: Stay = ALONE
) -> MappingExplanation:
    """Take the cost of a mapping apart.

    Args:
        layer: as it is priced (whole filters removed).
        accelerator, mapping: of `find_mapping`, or your own.
        stay: where its operands lie, of a layer in a network (`LayerCost.stay`).

    Raises:
        MappingError: the mapping does not fit.
    """
    task = array_view(Task.of(layer, accelerator, stay))
    accelerator, widths = task.accelerator, task.widths
    priced = price(task, mapping)
    described = accelerator.memories()
    return MappingExplanation(
        memories=tuple(
            _memory_use(task, mapping, index, memory, priced.tile_bits)
            for index, level in enumerate(accelerator.levels)
            for memory in level.memories
        ),
        ports=tuple(
            PortUse(
                name=name,
                read_cycles=reads,
                write_cycles=writes,
                network_cycles=priced.parts.networks.get(name, 0.0),
                shared=described[name].shared_port and not accelerator.timing.by_commands,
                limited=described[name].read_bits_per_cycle is not None
                or described[name].write_bits_per_cycle is not None
                or described[name].network_bits_per_cycle is not None,
            )
            for name, (reads, writes) in priced.parts.ports.items()
        ),
        axes=tuple(
            AxisUse(
                name=axis.name,
                size=axis.size,
                loops=tuple(
                    loop
                    for level in mapping.levels
                    for loop in level.spatial
                    if loop.axis == axis.name and loop.bound > 1
                ),
            )
            for axis in accelerator.axes
        ),
        array_cycles=priced.parts.compute,
        macs_per_cycle=accelerator.precision.macs_per_cycle(widths.w, widths.i),
        padding=mapping.iterations * mapping.num_active / task.layer.macs,
        busy_cycles=priced.parts.busy,
        waiting_cycles=priced.parts.waiting,
        first_fill_cycles=priced.parts.first_fill,
        last_drain_cycles=priced.parts.last_drain,
        cycles=priced.cycles,
        bound=priced.bound,
        utilization=priced.utilization,
    )


def _memory_use(
    task: Task, mapping: Mapping, index: int, memory: Memory, tile_bits: MappingType[tuple[str, Operand], int]
) -> MemoryUse:
    layer, level = task.layer, task.accelerator.levels[index]
    outermost = index == len(mapping.levels) - 1
    kept = [
        operand
        for operand in memory.holds
        if operand in mapping.levels[index].keeps and not (outermost and task.home(operand) is not memory)
    ]
    views = {operand: seen_by(task.accelerator, mapping, operand) for operand in OPERANDS}
    around = views[kept[0] if kept else memory.holds[0]].levels[index + 1 :]
    return MemoryUse(
        name=memory.name,
        level=level.name,
        resident=tuple(operand for operand in task.stay.resident if task.rests(operand, memory)),
        room_bits=None if memory.size_bits is None else task.room_bits(memory),
        tiles={operand: footprint(layer, operand, views[operand].bounds(index)) for operand in kept},
        tile_bits={operand: tile_bits[memory.name, operand] for operand in kept},
        copies=memory.copies,
        size_bits=memory.size_bits,
        instances=math.prod(loop.bound for outer in around for loop in outer.spatial),
    )


#: The name under which scripts of an earlier release import it.
explain = explain_mapping
