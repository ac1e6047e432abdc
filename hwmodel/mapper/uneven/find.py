"""The best mapping with a tile per operand and memory: every way to unroll a layer, each searched to its optimum."""

from __future__ import annotations

from hwmodel.mapper.deep.branch import Rules, branches_of
from hwmodel.mapper.scores import SLACK
from hwmodel.mapper.uneven.loops import mapping_of
from hwmodel.mapper.uneven.nest import Nest
from hwmodel.mapper.uneven.paths import cheapest, left_to_pay
from hwmodel.mapper.uneven.ways import Ways, every_split
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price


def uneven_mapping(task: Task, even: Mapping, rules: Rules) -> Mapping:
    """The mapping with the least energy; one whose levels have one tile each where that is as good.

    Args:
        task: whole filters already removed, as the array sees it.
        even: the best of those.
        rules: what is left out.
    """
    limit = _energy(task, even) * (1 - SLACK)
    best = even
    for least, nest in sorted(_promising(task, limit, rules), key=lambda item: item[0]):
        if least > limit:
            break
        prices = nest.prices()
        fixed = float(nest.ways.fixed[nest.n])
        paid, moves = cheapest(nest.tiles, prices, left_to_pay(nest.tiles, prices), limit - fixed)
        if len(moves):
            found = mapping_of(nest.ways, nest.n, nest.tiles, moves)
            energy = _energy(task, found)
            if energy <= limit:
                best, limit = found, energy * (1 - SLACK)
    return best


def _promising(task: Task, limit: float, rules: Rules) -> list[tuple[float, Nest]]:
    """Ways to unroll a task that may stay within a limit if memories were not shared, with the least energy then."""
    found: list[tuple[float, Nest]] = []
    for branch in branches_of(task, rules):
        ways = Ways(branch, every_split(branch))
        for n in (ways.least <= limit).nonzero()[0].tolist():
            nest = Nest(ways, n)
            least = float(ways.fixed[n] + left_to_pay(nest.tiles, nest.prices())[0, 0])
            if least <= limit:
                found.append((least, nest))
    return found


def _energy(task: Task, mapping: Mapping) -> float:
    return sum(price(task, mapping).energy_pj.values())
