"""The start of every pass of a row-stationary array: its PEs wait for weights, then for the first windows of I."""

from __future__ import annotations

from hwmodel.nest.access import Networks, distinct_tiles, tile_transfers
from hwmodel.nest.mapping import Mapping, footprint
from hwmodel.nest.task import Task
from hwmodel.network.layer import Operand


def ramp_cycles(task: Task, mapping: Mapping) -> float:
    """Cycles in which a row-stationary array waits at the start of its passes, 0 for other dataflows.

    A pass begins whenever the PEs take new weights; inside a pass the networks run beside the PEs.

    Source: Chen et al., JSSC 52(1), 2017, section IV.
    """
    layer, accelerator = task.layer, task.accelerator
    if accelerator.dataflow != "row_stationary":
        return 0.0
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
