"""A lower bound of what a network costs on many chips that differ in sizes and bandwidths, without a mapping.

The network is placed as `Placer` does it, with a bound of every layer in every situation for its price: the best
mapping costs no less than the bound of the mapper (Lemmas 8 to 10 of docs/explain/mapper.md) on a chip of the same
outline with the largest sizes and the widest ports, nor less than one pass of its operands. The least sum of bounds
over all placements is no more than the sum of the prices of any (Lemma 26).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Accelerator, Level, Memory
from hwmodel.mapper.free import OBJECTIVES, Objective
from hwmodel.mapper.shared import bound_mapping
from hwmodel.nest.task import Task
from hwmodel.network.stripes import stripes
from hwmodel.place.placer import Placer
from hwmodel.place.plan import Plan
from hwmodel.place.situation import Price, Situation
from hwmodel.price.sparsity import useful_zeros
from hwmodel.price.stripes import NEARLY, least


class Widest(NamedTuple):
    """The most that any chip of a sweep has: size [bit], and read, write and network bandwidth [bit/cycle]."""

    size: float
    read: float
    write: float
    network: float


class Least(NamedTuple):
    """What a network costs at least: energy [pJ], cycles."""

    energy_pj: float
    cycles: float


def widened(accelerator: Accelerator, widest: Mapping[str, Widest], *, sizes: bool) -> Accelerator:
    """The chip with the widest ports that its memories have anywhere, and if wanted with the largest sizes.

    What no source bounds stays unbounded.
    """

    def wide(memory: Memory) -> Memory:
        most = widest[memory.name]
        found = replace(
            memory,
            read_bits_per_cycle=None if memory.read_bits_per_cycle is None else most.read,
            write_bits_per_cycle=None if memory.write_bits_per_cycle is None else most.write,
            network_bits_per_cycle=None if memory.network_bits_per_cycle is None else most.network,
        )
        return replace(found, size_bits=most.size) if sizes and memory.size_bits is not None else found

    def wide_level(level: Level) -> Level:
        return replace(level, memories=tuple(wide(memory) for memory in level.memories))

    return replace(accelerator, levels=tuple(wide_level(level) for level in accelerator.levels))


class Bounds:
    """Lower bounds of situations of layers, each found once on the roomiest chip of its outline.

    Args:
        roomy: of a chip, the same with the largest sizes and widest ports that go with its outline.
    """

    def __init__(self, roomy: Callable[[Accelerator], Accelerator]) -> None:
        self._roomy = roomy
        self._known: dict[tuple[str, Situation], Price] = {}

    def of_network(self, plan: Plan, accelerator: Accelerator) -> Least:
        """The least that a network costs on a chip, however it is mapped and placed.

        Args:
            plan: of the network on chips like this one.
            accelerator: one of `shares_mappings`; its ports count as if they were the widest.
        """
        roomy = self._roomy(accelerator)

        def price(situation: Situation) -> Price:
            return self._price(roomy, situation)

        totals = {}
        metrics: tuple[Objective, Objective] = ("energy", "latency")
        for optimize in metrics:
            options = [[layer] for layer in plan.layers]
            placer = Placer(plan, accelerator, optimize, options, price, sharpens=False)
            placed = placer.run(np.zeros((1, len(plan.layers)), dtype=np.int64))
            totals[optimize] = placed.totals[0]
        return Least(float(totals["energy"][0]) * NEARLY, float(totals["latency"][1]))

    def _price(self, roomy: Accelerator, situation: Situation) -> Price:
        stay = situation.stay._replace(room_bits=None)
        key = (roomy.fingerprint, situation._replace(layer=situation.layer.unnamed(), stay=stay))
        if key not in self._known:
            self._known[key] = _bound(roomy, situation._replace(stay=stay))
        return self._known[key]


def _bound(roomy: Accelerator, situation: Situation) -> Price:
    """The bound of one situation.

    Of stripes the kind that there are most of has the mapper's bound, the others the one pass of their operands.
    Where a pool leaves out some of the outputs the mapper's bound of energy is none.
    """
    task = Task.of(situation.layer, roomy, situation.stay).without_removed_filters()
    task = task.with_density(useful_zeros(task))
    resident = [situation.stay.resident]
    floor = least(task, situation.rows, float(situation.unwritten), resident)[0]
    parts = stripes(task.layer, situation.rows) if situation.rows else ((task.layer, 1),)
    common, count = max(parts, key=lambda part: part[1])
    energy, cycles = (count * bound_mapping(task.with_layer(common), metric) for metric in OBJECTIVES[:2])
    for layer, others in parts:
        if layer is not common:
            pj, some = least(task.with_layer(layer), 0, float(situation.unwritten), resident)[0]
            energy, cycles = energy + others * pj, cycles + others * some
    if situation.unwritten:
        energy = 0.0
    return Price(max(floor[0], NEARLY * energy), max(floor[1], cycles), 0.0)
