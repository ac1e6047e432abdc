"""One layer under one mapping, priced: the result, and what every way to price it shares."""

from __future__ import annotations

from dataclasses import dataclass

from hwmodel.chip.accelerator import Memory
from hwmodel.chip.storage import compression, nm_compression
from hwmodel.nest.task import Task
from hwmodel.network.layer import Operand
from hwmodel.price.sparsity import active_fraction, nm_pattern, weight_density
from hwmodel.price.traffic import Traffic


@dataclass(frozen=True, kw_only=True)
class CycleParts:
    """What the cycles of a layer are made of: busy + waiting + first fill + last drain of its bound.

    Attributes:
        compute: of the array alone [cycles].
        ports: memory -> (reads, writes) of its busiest instance [cycles]; they add where they share a port.
        networks: memory of the PEs -> the network that fills it, where it has one [cycles].
        busy: of the bound: the array, or all or one side of a port [cycles].
        waiting: it waits for single-buffered memories to be filled, for the first windows of a row-stationary
            pass, for the words of a streamed one, for the output stage of a block, or for transfers that the array
            cannot compute beside [cycles].
        first_fill, last_drain: what goes before its first and follows its last work [cycles].
    """

    compute: float
    ports: dict[str, tuple[float, float]]
    networks: dict[str, float]
    busy: float
    waiting: float
    first_fill: float
    last_drain: float


@dataclass(frozen=True, kw_only=True)
class Priced:
    """One layer under one mapping.

    Attributes:
        energy_pj: keyed (memory, "mac", "dac" or "adc", operand or "") [pJ].
        traffic: keyed (memory, operand).
        compute_cycles: of the array alone.
        processing_cycles: with stalls, first fill and last drain.
        cycles: these, and the transfers beside which the array stands still.
        bound: "compute", or the memory whose port the layer waits for.
        utilization: MACs that the array has to do, skipped ones left out, over what it could do in `cycles`.
        tile_bits: keyed (memory, operand), of one instance, not doubled [bit].
        parts: what the cycles are made of.
    """

    energy_pj: dict[tuple[str, str], float]
    traffic: dict[tuple[str, Operand], Traffic]
    compute_cycles: int
    processing_cycles: int
    cycles: int
    bound: str
    utilization: float
    tile_bits: dict[tuple[str, Operand], int]
    parts: CycleParts


def mac_energy(task: Task) -> float:
    """Energy of the arithmetic [pJ]; gated and skipped MACs cost nothing."""
    mac_pj = task.accelerator.precision.energy_pj(task.widths.w, task.widths.i)
    return task.layer.macs * active_fraction(task) * mac_pj


def stored_fraction(task: Task, memory: Memory, operand: Operand) -> float:
    """Compressed over dense size of an operand in a memory; 1 where it is stored dense.

    Of O only finished values are compressed, and only where the memory is told its density.
    """
    if operand not in memory.compressed:
        return 1.0
    layer, widths = task.layer, task.widths
    density, width = {
        "W": (weight_density(layer.density), widths.w),
        "I": (layer.density.i, widths.i),
        "O": (layer.density.o, widths.o),
    }[operand]
    return compression(layer.elements(operand), width, density, memory.formats)


def moved_fraction(task: Task, memory: Memory, operand: Operand) -> float:
    """Stored over dense bits of the words that move; N:M weights are packed in every memory."""
    pattern = nm_pattern(task) if operand == "W" else None
    return stored_fraction(task, memory, operand) if pattern is None else nm_compression(task.widths.w, *pattern)
