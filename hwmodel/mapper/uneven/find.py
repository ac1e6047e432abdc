"""The best mapping with a tile per operand and memory: every way to unroll a layer, each searched to its optimum.

Where one tile per level is as good, it is the best of these.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from hwmodel.errors import MappingError, check_one_of
from hwmodel.mapper import ahead
from hwmodel.mapper.deep.branch import EVERYTHING, Rules, resting
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.free import OBJECTIVES, Objective, nothing_fits
from hwmodel.mapper.scores import SLACK
from hwmodel.mapper.uneven.loops import mapping_of
from hwmodel.mapper.uneven.nest import Nest
from hwmodel.mapper.uneven.paths import cheapest, left_to_pay
from hwmodel.mapper.uneven.ways import Ways, every_split
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price


def uneven_mapping(
    task: Task, optimize: Objective = "energy", rules: Rules = EVERYTHING, *, reached: float = math.inf
) -> Mapping:
    """The mapping with the least energy.

    Args:
        task: whole filters already removed, as the array sees it; on an accelerator whose tiles are `uneven`.
        optimize: `energy`.
        rules: what is left out.
        reached: energy of some mapping of the task, where one is known [pJ]; it changes no more than the time.

    Raises:
        MappingError: another objective, or no mapping fits.
    """
    check_one_of("optimize", optimize, OBJECTIVES, MappingError)
    if optimize != "energy":
        raise MappingError(
            f"optimize: `tiles: uneven` of {task.accelerator.name!r} is searched for the least energy only, "
            f"but got {optimize}. Optimize energy, or write `tiles: even`."
        )
    try:
        best: Mapping | None = deep_mapping(task, optimize, rules, reached=reached)
    except MappingError:  # one tile per level fits nowhere, or in too many ways that are as good as each other
        best = None
    limit = math.inf if best is None else _energy(task, best) * (1 - SLACK)
    ways = [Ways(branch, every_split(branch)) for branch in resting(task, rules)]
    for found, _ in better(ways, limit, partial(_energy, task)):
        best = found
    if best is None:
        raise MappingError(nothing_fits(task))
    return best


def better(
    ways: list[Ways], limit: float, energy_of: Callable[[Mapping], float]
) -> Iterator[tuple[Mapping, float]]:
    """Mappings within a limit [pJ], each better than the one before, and their energies; the last is the best.

    Ways to unroll are taken in the order of what they cost at least: as bounded at first, then if memories were not
    shared.
    """
    queue: list[tuple[float, int, int, int, Nest | None]] = [
        (float(least), -int(own.whole[n].prod()), number, n, None)
        for number, own in enumerate(ways)
        for n, least in enumerate(own.least)
        if least <= limit
    ]
    heapq.heapify(queue)
    while queue:
        least, places, number, n, nest = heapq.heappop(queue)
        if least > limit:
            return
        fixed = float(ways[number].fixed[n])
        if nest is None:
            nest = Nest(ways[number], n)
            least = fixed + float(left_to_pay(nest.tiles, nest.prices())[0, 0])
            if least < math.inf and least <= limit:
                heapq.heappush(queue, (least, places, number, n, nest))
            continue
        prices = nest.prices()
        paid, moves = cheapest(nest.tiles, prices, left_to_pay(nest.tiles, prices), limit - fixed)
        if paid < math.inf:
            found = mapping_of(nest.ways, nest.n, nest.tiles, moves)
            energy = energy_of(found)
            if energy <= limit:
                limit = energy * (1 - SLACK)
                yield found, energy


def _energy(task: Task, mapping: Mapping) -> float:
    return sum(price(task, mapping).energy_pj.values())


def uneven_call(task: Task) -> tuple[ahead.Call, ...]:
    """The kernels of this mapper, with arguments of the types that it gives."""
    branch = next(resting(task))
    nest = Nest(Ways(branch, every_split(branch)), 0)
    prices, least = nest.prices(), np.empty((1, 1))
    return (
        ahead.Call(left_to_pay, (nest.tiles, prices)),
        ahead.Call(cheapest, (nest.tiles, prices, least, math.inf)),
    )
