"""The best mapping on any number of levels: paddings, bypasses and numbers of PEs, each walked to its optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwmodel.errors import MappingError, check_one_of
from hwmodel.mapper import ahead
from hwmodel.mapper.deep import hopes, walk
from hwmodel.mapper.deep.branch import EVERYTHING, Branch, Rules, branches_of
from hwmodel.mapper.deep.labels import NUM_LINKS
from hwmodel.mapper.deep.states import Aim, Bounds, Pool
from hwmodel.mapper.free import OBJECTIVES, Objective, nothing_fits
from hwmodel.mapper.scores import ENERGY, LATENCY, SLACK
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price


def deep_mapping(
    task: Task, optimize: Objective = "energy", rules: Rules = EVERYTHING, *, reached: float = math.inf
) -> Mapping:
    """The mapping with the least energy, cycles or energy-delay product.

    Args:
        task: whole filters already removed, as the array sees it; on an accelerator of kind `spatial`.
        optimize: `energy`, `latency` or `edp`; for `latency` ties go to less energy, for `energy` to more PEs.
        rules: what is left out.
        reached: energy of some mapping of the task, where one is known [pJ]; it changes no more than the time.

    Raises:
        MappingError: an unknown objective, no mapping fits, or too many ways are as good as each other so far.
    """
    check_one_of("optimize", optimize, OBJECTIVES, MappingError)
    branches = list(branches_of(task, rules))
    best = _least_energy(branches, reached * (1 + SLACK)) or _least_energy(branches, math.inf)
    if best is None:
        raise MappingError(nothing_fits(task))
    if optimize == "energy":
        return best.mapping
    return _fastest(task, branches, best, OBJECTIVES.index(optimize))


@dataclass(frozen=True)
class Found:
    """A mapping, and what it costs."""

    mapping: Mapping
    energy_pj: float
    cycles: float

    def score(self, objective: int) -> float:
        return (self.energy_pj, self.cycles, self.energy_pj * self.cycles)[objective]


def _found(task: Task, mapping: Mapping) -> Found:
    priced = price(task, mapping)
    return Found(mapping, sum(priced.energy_pj.values()), priced.cycles)


def _least_energy(branches: list[Branch], most_pj: float) -> Found | None:
    best: Found | None = None
    for branch in sorted(branches, key=lambda branch: branch.least_energy):
        limit = most_pj if best is None else best.energy_pj * (1 - SLACK)
        if branch.least_energy > limit:
            break
        mapping = branch.search(Aim(ENERGY, limit, math.inf))
        if mapping is not None:
            best = _found(branch.task, mapping)
    return best


def _fastest(task: Task, branches: list[Branch], least: Found, objective: int) -> Mapping:
    """The fewest cycles, or the least product, beginning with the mapping of the least energy.

    Every number of places is a search of its own, the fastest array first; what the array alone takes longer for
    than the best so far, with the least energy that there is, is left out.
    """
    ranked = sorted(
        (
            (branch.compute(places), n, places)
            for n, branch in enumerate(branches)
            for places in branch.all_places()
        ),
    )
    best = least
    for aim_at in (objective, ENERGY) if objective == LATENCY else (objective,):
        for compute, n, places in ranked:
            least_score = (least.energy_pj, compute, least.energy_pj * compute)
            if least_score[objective] > best.score(objective):
                break
            limit = best.score(aim_at)
            if aim_at != LATENCY:
                limit *= 1 - SLACK
            else:
                limit -= 1
            most = best.cycles if objective == LATENCY and aim_at == ENERGY else math.inf
            mapping = branches[n].search(Aim(aim_at, float(limit), float(most)), places)
            if mapping is not None:
                found = _found(task, mapping)
                if found.score(objective) <= best.score(objective):
                    best = found
    return best.mapping


def deep_call(task: Task) -> tuple[ahead.Call, ...]:
    """The kernels of this mapper, with arguments of the types that it gives."""
    branch = next(branches_of(task))
    bounds = Bounds(branch.needs, *(np.empty((1, len(branch.shape.keep), 1)) for _ in range(2)))
    pool = Pool(np.empty((1, hopes.WIDTH + hopes.TAIL)), np.empty((1, NUM_LINKS), np.int64))
    found = np.zeros((len(branch.shape.keep), 3), dtype=np.int64)
    return (
        ahead.Call(walk.walk, (branch.ladder, Aim(ENERGY, math.inf, math.inf), bounds, pool, found)),
        ahead.Call(hopes.hopes, (branch.ladder, bounds)),
    )
