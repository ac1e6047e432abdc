"""The load of weights that stay in the resident memory between inferences: once, before the first one.

Each stored weight is read from the outermost memory and written to the resident one, all of them in one stream:

    energy = sum of stored bits * outer read energy + sum of resident bits * resident write energy
    cycles = ceil(max(sum of stored bits / outer read bandwidth, sum of resident bits / resident write bandwidth))

Of a weight that several layers read, it is as large as the layer with the widest one needs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.nest.task import Task
from hwmodel.price.results import WeightLoad
from hwmodel.price.spatial import moved_fraction


def stored_bits(task: Task, memory: Memory) -> float:
    """Weights of a task (whole filters already removed) as a memory stores them, all of their parameter [bit]."""
    return task.layer.weights * task.widths.w * moved_fraction(task, memory, "W")


def weight_load(names: tuple[str, ...], weights: Sequence[Sequence[Task]], accelerator: Accelerator) -> WeightLoad:
    """What it takes to load weights.

    Args:
        names: of the layers that find theirs on chip.
        weights: the tasks that read each one, whole filters already removed.
        accelerator: with a resident memory.
    """
    outer, keeper = accelerator.levels[-1].memory("W"), accelerator.keeper
    assert outer is not None
    assert keeper is not None
    read = sum(max(stored_bits(task, outer) for task in readers) for readers in weights)
    written = sum(max(stored_bits(task, keeper) for task in readers) for readers in weights)
    reading = read / (outer.read_bits_per_cycle or math.inf)
    return WeightLoad(
        layers=names,
        memory=keeper.name,
        bits=written,
        energy_pj=read * outer.read_pj_per_bit + written * keeper.write_pj_per_bit,
        cycles=math.ceil(max(reading, written / (keeper.write_bits_per_cycle or math.inf))),
    )
