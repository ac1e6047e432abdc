"""The price of a layer that runs in stripes of rows: those of its stripes add up.

Weights that stay on chip for the time of all stripes are loaded once, before the first one:

    energy = stored bits * outer read energy + resident bits * resident write energy
    cycles = ceil(max(stored bits / outer read bandwidth, resident bits / resident write bandwidth))

and nothing hides this load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwmodel.chip.accelerator import Memory
from hwmodel.chip.storage import nm_compression
from hwmodel.nest.task import Task
from hwmodel.price.layer_price import LayerPrice
from hwmodel.price.sparsity import nm_pattern
from hwmodel.price.spatial import stored_fraction


def joined(parts: Sequence[tuple[LayerPrice, int]]) -> LayerPrice:
    """One after the other; tiles, mapping and bound are those of the first.

    Args:
        parts: (price of a stripe, how many there are of it), at least one.
    """
    cycles = sum(price.cycles * count for price, count in parts)
    return replace(
        parts[0][0],
        energy_pj=_summed([(price.energy_pj, count) for price, count in parts]),
        traffic_bits=_summed([(price.traffic_bits, count) for price, count in parts]),
        final_bits=sum(price.final_bits * count for price, count in parts),
        cycles=cycles,
        compute_cycles=sum(price.compute_cycles * count for price, count in parts),
        processing_cycles=sum(price.processing_cycles * count for price, count in parts),
        utilization=sum(price.utilization * price.cycles * count for price, count in parts) / cycles,
    )


def with_load(price: LayerPrice, task: Task) -> LayerPrice:
    """The price with the load of the weights into the resident memory.

    Args:
        price: with the weights there.
        task: the whole layer, whole filters already removed.
    """
    outer, keeper = task.accelerator.levels[-1].memory("W"), task.accelerator.keeper
    assert outer is not None
    assert keeper is not None
    read, written = weight_bits(task, outer), weight_bits(task, keeper)
    cycles = math.ceil(
        max(read / (outer.read_bits_per_cycle or math.inf), written / (keeper.write_bits_per_cycle or math.inf))
    )
    load = {(outer.name, "W"): read, (keeper.name, "W"): written}
    pj = {(outer.name, "W"): read * outer.read_pj_per_bit, (keeper.name, "W"): written * keeper.write_pj_per_bit}
    return replace(
        price,
        energy_pj=_summed([(price.energy_pj, 1), (pj, 1)]),
        traffic_bits=_summed([(price.traffic_bits, 1), (load, 1)]),
        cycles=price.cycles + cycles,
        processing_cycles=price.processing_cycles + cycles,
        utilization=price.utilization * price.cycles / (price.cycles + cycles),
    )


def weight_bits(task: Task, memory: Memory) -> float:
    """The weights that a task (whole filters already removed) reads, as they are stored in a memory [bit]."""
    pattern = nm_pattern(task)
    if pattern is None:
        scale = stored_fraction(task, memory, "W")
    else:
        scale = nm_compression(task.widths.w, *pattern)
    return task.layer.elements("W") * task.widths.w * scale


def _summed(parts: Sequence[tuple[Mapping[tuple[str, str], float], int]]) -> dict[tuple[str, str], float]:
    total: dict[tuple[str, str], float] = {}
    for values, count in parts:
        for key, value in values.items():
            total[key] = total.get(key, 0.0) + value * count
    return total
