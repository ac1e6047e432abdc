"""A lower bound of what a network costs on a chip, and on those that differ in narrower ports, without a mapping.

The network is placed as `Placer` does it, with a bound of every layer in every situation and room for its
price: the best mapping costs no less than the bound of the mapper (Lemmas 8 to 10 of docs/explain/mapper.md), nor
less than one pass of its operands. The least sum of bounds over all placements is no more than the sum of the
prices of any (Lemma 26).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Accelerator, Level, Memory
from hwmodel.errors import MappingError
from hwmodel.mapper.free import Objective, nothing_fits
from hwmodel.mapper.shared import bound_mapping, remembered
from hwmodel.mapper.space.unrolling import padded_variants
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.network.layer import RELEVANT
from hwmodel.network.stripes import stripes
from hwmodel.place.placer import Placer
from hwmodel.place.plan import Plan
from hwmodel.place.situation import Price, Situation
from hwmodel.price.priced import stored_fraction
from hwmodel.price.sparsity import useful_zeros
from hwmodel.price.stripes import NEARLY, least


class Widest(NamedTuple):
    """The most that any chip of a sweep has: size [bit], and read, write and network bandwidth [bit/cycle]."""

    size: float
    read: float
    write: float
    network: float


#: Bounded apart, each by a placement of its own.
METRICS: tuple[Objective, Objective] = ("energy", "latency")


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


def least_of_network(plan: Plan, accelerator: Accelerator) -> Least:
    """The least that a network costs on a chip, however it is mapped and placed, and on any with narrower ports.

    Args:
        plan: of the network on chips like this one.
        accelerator: one of `shares_mappings`; within `sharing_chips` those alike share what no size enters.

    Raises:
        MappingError: some layer fits nowhere.
    """
    picks, options = np.zeros((1, len(plan.layers)), dtype=np.int64), [[layer] for layer in plan.layers]
    totals = {}
    for metric in METRICS:
        price = partial(bound_situation, accelerator, metric)
        totals[metric] = Placer(plan, accelerator, metric, options, price, sharpens=False).run(picks).totals[0]
    return Least(float(totals["energy"][0]) * NEARLY, float(totals["latency"][1]))


def bound_situation(accelerator: Accelerator, metric: Objective, situation: Situation) -> Price:
    """The bound of one situation in its room, energy or latency with the mapper's.

    Of stripes the kind that there are most of has the mapper's bound, the others the one pass of their operands.
    Where a pool leaves out some of the outputs the mapper's bound is less what they may cost at most.

    Raises:
        MappingError: no mapping fits.
    """
    task = Task.of(situation.layer, accelerator, situation.stay).without_removed_filters()
    task = task.with_density(useful_zeros(task))
    parts = stripes(task.layer, situation.rows) if situation.rows else ((task.layer, 1),)
    common, count = max(parts, key=lambda part: part[1])
    floor, column = _pass(task, situation, situation.rows), METRICS.index(metric)
    own = count * bound_mapping(task.with_layer(common), metric)
    if own == math.inf:
        raise MappingError(nothing_fits(task))
    if situation.unwritten and metric == "energy":
        own = max(0.0, own - count * float(situation.unwritten) * _most_written(task.with_layer(common)))
    for layer, others in parts:
        if layer is not common:
            own += others * _pass(task.with_layer(layer), situation, 0)[column]
    energy, cycles = floor
    if metric == "energy":
        energy = max(energy, NEARLY * own)
    else:
        cycles = max(cycles, own)
    room = situation.stay.room_bits  # the bound holds for this room alone
    return Price(energy, cycles, math.inf if room is None else room)


def _pass(task: Task, situation: Situation, rows: int) -> tuple[float, float]:
    """Energy [pJ] and cycles of one pass of the operands of a layer in a situation, in stripes of so many rows."""
    unwritten, resident = float(situation.unwritten), situation.stay.resident
    what = ("pass", rows, unwritten, resident)
    found: tuple[float, float] = remembered(task, what, lambda: least(task, rows, unwritten, [resident])[0])
    return found


def _most_written(task: Task) -> float:
    """The most that the writes of finished outputs take, padded as far as any mapping pads them [pJ]."""
    view, home = array_view(task), task.home("O")
    padded = (dims for dims, _ in padded_variants(view.layer.dims, view.accelerator.axes))
    outputs = max(math.prod(dims[dim] for dim in RELEVANT["O"]) for dims in padded)
    return outputs * task.widths.o * stored_fraction(task, home, "O") * home.write_pj_per_bit
