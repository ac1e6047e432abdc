"""What weights take in a memory, and to load them into the resident one.

Each stored weight is read from the outermost memory and written to the resident one, all of them in one stream:
before the first inference where they stay between inferences, before a group of layers in stripes where they stay
for its time.

    energy = sum of stored bits * outer read energy + sum of resident bits * resident write energy
    cycles = ceil(max(sum of stored bits / outer read bandwidth, sum of resident bits / resident write bandwidth))

Of a weight that several layers read, it is as large as the layer with the widest one needs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.chip.storage import compression, nm_compression
from hwmodel.nest.task import Task
from hwmodel.price.results import WeightLoad
from hwmodel.price.sparsity import nm_pattern, weight_density


def weight_bits(task: Task, memory: Memory | None, elements: int) -> float:
    """So many weights of a task (whole filters already removed) as a memory stores them; None: dense [bit]."""
    width, pattern = task.widths.w, nm_pattern(task)
    if not elements:
        return 0.0
    if pattern is not None:
        return elements * width * nm_compression(width, *pattern)
    if memory is None or "W" not in memory.compressed:
        return float(elements * width)
    return elements * width * compression(elements, width, weight_density(task.layer.density), memory.formats)


@dataclass(frozen=True, kw_only=True)
class Load:
    """Weights on their way from the outermost to the resident memory.

    Attributes:
        read_bits, written_bits: there and here [bit].
        read_pj, write_pj: energy [pJ].
        cycles: of the slower port.
    """

    read_bits: float
    written_bits: float
    read_pj: float
    write_pj: float
    cycles: int

    @classmethod
    def of(cls, read_bits: float, written_bits: float, outer: Memory, keeper: Memory) -> Load:
        """The load of so many bits there, and so many here."""
        reading = read_bits / (outer.read_bits_per_cycle or math.inf)
        writing = written_bits / (keeper.write_bits_per_cycle or math.inf)
        return cls(
            read_bits=read_bits,
            written_bits=written_bits,
            read_pj=read_bits * outer.read_pj_per_bit,
            write_pj=written_bits * keeper.write_pj_per_bit,
            cycles=math.ceil(max(reading, writing)),
        )


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
    read, written = (
        sum(max(weight_bits(task, memory, task.layer.weights) for task in readers) for readers in weights)
        for memory in (outer, keeper)
    )
    load = Load.of(read, written, outer, keeper)
    return WeightLoad(
        layers=names,
        memory=keeper.name,
        bits=load.written_bits,
        energy_pj=load.read_pj + load.write_pj,
        cycles=load.cycles,
    )
