"""The price of a layer that runs in stripes of rows: those of its stripes add up.

Weights that stay on chip for the time of all stripes are loaded once, before the first one (`hwmodel.price.load`),
and nothing hides this load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwmodel.chip.accelerator import Memory
from hwmodel.nest.task import Task
from hwmodel.network.layer import OPERANDS, Layer, Operand
from hwmodel.network.stripes import stripes
from hwmodel.price.layer_price import LayerPrice
from hwmodel.price.load import Load, weight_bits
from hwmodel.price.priced import mac_energy, stored_fraction
from hwmodel.price.sparsity import nm_pattern

#: What rounding may take from a bound.
NEARLY = 1 - 1e-9


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
    elements = task.layer.elements("W")
    load = Load.of(weight_bits(task, outer, elements), weight_bits(task, keeper, elements), outer, keeper)
    bits = {(outer.name, "W"): load.read_bits, (keeper.name, "W"): load.written_bits}
    pj = {(outer.name, "W"): load.read_pj, (keeper.name, "W"): load.write_pj}
    cycles = price.cycles + load.cycles
    return replace(
        price,
        energy_pj=_summed([(price.energy_pj, 1), (pj, 1)]),
        traffic_bits=_summed([(price.traffic_bits, 1), (bits, 1)]),
        cycles=cycles,
        processing_cycles=price.processing_cycles + load.cycles,
        utilization=price.utilization * price.cycles / cycles,
    )


def least(task: Task, rows: int, unwritten: float, stays: Sequence[Sequence[Operand]]) -> list[tuple[float, float]]:
    """The least energy [pJ] and cycles of a task, whatever the mapping, for every set of operands that stay.

    Its MACs, and every stripe moves its weights, the inputs that it needs and its finished outputs at least once,
    all of them through the ports of their homes. Where no zeros are skipped, all PEs are at work at best.

    Args:
        task: whole filters already removed; its own stay is not looked at.
        rows: of its outputs that it makes at a time; 0: all.
        unwritten: fraction of its finished outputs that no memory sees.
        stays: operands that lie in the resident memory.
    """
    accelerator, array = task.accelerator, 0.0
    if not accelerator.skipping and nm_pattern(task) is None:
        rate = accelerator.precision.macs_per_cycle(task.widths.w, task.widths.i)
        array = task.layer.macs / (accelerator.num_pes * rate)
    parts = stripes(task.layer, rows) if rows else ((task.layer, 1),)
    moves: dict[tuple[Operand, bool], tuple[Memory, float]] = {}
    for operand in OPERANDS:
        for stays_here in {operand in stay for stay in stays}:
            home = task.with_residents((operand,) if stays_here else ()).home(operand)
            bits = sum(count * _moved(task.with_layer(layer), home, operand) for layer, count in parts)
            moves[operand, stays_here] = home, bits * (1 - unwritten) if operand == "O" else bits
    found, macs = [], mac_energy(task)
    for stay in stays:
        energy, busy = macs, {"": array}
        for operand in OPERANDS:
            home, bits = moves[operand, operand in stay]
            energy += bits * (home.write_pj_per_bit if operand == "O" else home.read_pj_per_bit)
            if operand != "O":
                busy[home.name] = busy.get(home.name, 0.0) + bits / (home.read_bits_per_cycle or math.inf)
        found.append((NEARLY * energy, float(math.ceil(NEARLY * max(busy.values())))))
    return found


def _moved(task: Task, home: Memory, operand: Operand) -> float:
    """Bits of an operand of a layer or stripe as its home stores them, each once."""
    layer, widths = task.layer, task.widths
    if operand == "W":
        return weight_bits(task, home, layer.elements("W"))
    bits = _touched(layer) * widths.i if operand == "I" else layer.elements("O") * widths.o
    return bits * stored_fraction(task, home, operand)


def _touched(layer: Layer) -> int:
    """Stored inputs that a layer needs: rows and columns that a stride skips are not among them."""
    outer = math.prod(layer.i_shape[:3])
    for axis, outputs, taps in ((0, layer.dims.OY, layer.dims.FY), (1, layer.dims.OX, layer.dims.FX)):
        outer *= max(0, min(layer.i_shape[3 + axis], outputs * taps) - sum(layer.padding[axis]))
    return outer


def _summed(parts: Sequence[tuple[Mapping[tuple[str, str], float], int]]) -> dict[tuple[str, str], float]:
    total: dict[tuple[str, str], float] = {}
    for values, count in parts:
        for key, value in values.items():
            total[key] = total.get(key, 0.0) + value * count
    return total
