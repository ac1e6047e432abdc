"""Lines of a row-stationary chip, timed as published.

The busiest resource, the fills of single-buffered memories at their own port, the ramp, first fill and last drain
add. The ramp is the start of every pass: the PEs wait for weights, then for the first windows of I.

Source: Chen et al., JSSC 52(1), 2017, section IV.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwmodel.chip.accelerator import Memory
from hwmodel.nest.access import Networks, distinct_tiles, tile_transfers
from hwmodel.nest.mapping import Mapping, footprint
from hwmodel.nest.task import Task
from hwmodel.network.layer import Operand
from hwmodel.price.lines.line import Line, per_bit
from hwmodel.price.lines.transfers import Transfers


def published_lines(moved: Transfers, compute: float) -> Iterator[Line]:
    """What is beside the busiest resource adds to whichever that is.

    Args:
        moved: between the memories.
        compute: cycles of the array alone.
    """
    waiting = ramp_cycles(moved.task, moved.mapping) + sum(
        moved.traffic[memory.name, operand].fills_bits
        / moved.count(index, operand).instances
        * per_bit(memory.write_bits_per_cycle)
        for index, memory, operand in moved.kept
        if index < moved.last and memory.size_bits is not None and not memory.double_buffered
    )
    edges = tuple(_edges(moved))
    head = sum(cycles for operand, cycles in edges if operand != "O")
    tail = sum(cycles for operand, cycles in edges if operand == "O")
    memories, networks = moved.accelerator.memories(), network_cycles(moved)
    yield Line(name="compute", busy=compute, waiting=waiting, head=head, tail=tail)
    for name, port in moved.ports.items():
        busy = max(memories[name].busy(*port.halves), networks[name])
        yield Line(name=name, busy=busy, waiting=waiting, head=head, tail=tail)


def _edges(moved: Transfers) -> Iterator[tuple[Operand, float]]:
    """First fills (W, I) and last drains (O) of double buffers: one tile, at the parent's bandwidth."""
    for hop in moved.hops:
        outer = moved.accelerator.levels[hop.parent].memory(hop.operand)
        if hop.double and outer is not None:
            port = outer.write_bits_per_cycle if hop.operand == "O" else outer.read_bits_per_cycle
            width = {"W": moved.widths.w, "I": moved.widths.i, "O": moved.widths.o}[hop.operand]
            bits = moved.count(hop.child, hop.operand).tile * width * moved.stored(outer, hop.operand)
            yield hop.operand, bits * per_bit(port)


def network_cycles(moved: Transfers) -> dict[str, float]:
    """Memory -> cycles of the network that fills it in the PEs, 0 where it has none."""
    busy: dict[str, float] = {}
    for _, memory, operand in moved.kept:
        busy[memory.name] = busy.get(memory.name, 0.0) + _network(moved, memory, operand)
    return busy


def _network(moved: Transfers, memory: Memory, operand: Operand) -> float:
    """Cycles of the network between a per-PE memory and its parent, one way at a time."""
    holders = moved.mapping.holders(operand)
    if memory.network_bits_per_cycle is None or operand == "W" or len(holders) < 2:
        return 0.0
    parent = moved.count(holders[1], operand)
    width = moved.widths.i if operand == "I" else moved.widths.acc
    return max(parent.reads, parent.updates) * width / memory.network_bits_per_cycle


def ramp_cycles(task: Task, mapping: Mapping) -> float:
    """Cycles in which the array waits at the start of its passes.

    A pass begins whenever the PEs take new weights; inside a pass the networks run beside the PEs.
    """
    layer, accelerator = task.layer, task.accelerator
    cycles = 0.0
    passes = tile_transfers(layer, mapping, "W", 0) // footprint(layer, "W", mapping.bounds(0))
    streamed: tuple[tuple[Operand, int], ...] = (("W", task.widths.w), ("I", task.widths.i))
    for operand, width in streamed:
        memory = accelerator.levels[0].memory(operand)
        if memory is not None and memory.network_bits_per_cycle is not None:
            different = distinct_tiles(layer, mapping, operand, 0, 2, Networks.of(accelerator))
            words = footprint(layer, operand, mapping.bounds(0)) * different
            cycles += passes * words * width / memory.network_bits_per_cycle
    return cycles
