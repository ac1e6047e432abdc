"""Lower bounds of the best mapping of a task on chips that differ in the sizes of their memories.

What the array costs at least inside of the buffer's tile knows no size; what the tiles exchange with DRAM is the
only part that does, and it knows no array (`hwmodel.mapper.space.exchange`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hwmodel.mapper.bounds import bound_branch
from hwmodel.mapper.counting import BUFFER, WAITS, Floats, NestInputs
from hwmodel.mapper.deep.floors import DeepFloors
from hwmodel.mapper.free import Branch, Objective, Search, branches_of, wanted_of
from hwmodel.mapper.scores import ENERGY, LATENCY, SLACK
from hwmodel.mapper.space.exchange import Stairs, least_exchange, stairs_for
from hwmodel.mapper.space.hierarchy import is_deep
from hwmodel.mapper.space.tiles import TileSpace
from hwmodel.mapper.uneven.floors import UnevenFloors
from hwmodel.nest.task import Task
from hwmodel.network.layer import Operand


@dataclass(frozen=True)
class _Part:
    """A branch without its unrollings: what the best of them costs inside of the buffer's tile, metric by metric.

    Attributes:
        space, kept, nest: as of `Branch`; the buffer alone.
        inside: (M) the least of every metric over the unrollings.
        cycles: the least over the unrollings, if nothing were exchanged with DRAM.
        stairs: of the exchange with DRAM, for every size of the buffer; None where these are several.
    """

    space: TileSpace
    kept: frozenset[Operand]
    nest: NestInputs
    inside: Floats
    cycles: float
    stairs: Stairs | None

    @classmethod
    def of(cls, branch: Branch, wanted: Search) -> _Part:
        inside = branch.inside(wanted.num_metrics)
        nothing = np.zeros(inside.shape[1])
        nest = branch.nest._replace(networks=np.ones((1, 1, 8), dtype=np.int64))
        return cls(
            space=branch.space,
            kept=branch.kept[1],
            nest=nest,
            inside=inside.min(axis=0),
            cycles=bound_branch(branch.nest, LATENCY, branch.unrollings, inside, nothing, math.inf),
            stairs=stairs_for(branch.space, branch.kept[1], nest, wanted.num_metrics),
        )

    def score(self, task: Task, capacity: Floats, wanted: Search) -> float:
        """A lower bound on the chip of a task, whose buffer has this capacity; infinite where nothing fits."""
        if self.stairs is None:
            exchanged = least_exchange(self.space.within(task), self.kept, self.nest, wanted.num_metrics)
        else:
            exchanged = self.stairs.least(capacity)
        values = self.inside + exchanged
        if wanted.objective == ENERGY or values[0] == math.inf:
            return float(values[0])
        ports = math.ceil(values[WAITS + 1 :].max(initial=0.0) * (1.0 - SLACK))
        return max(self.cycles, float(ports))


class AnyFloors(Protocol):
    """Lower bounds of a task in any sizes of the memories.

    Attributes:
        most: so many of them are at hand, for the tasks of one array and more.
    """

    most: int

    def bound(self, task: Task) -> float:
        """The bound for a task that differs from the own one in sizes alone."""


def floors_for(task: Task, optimize: Objective) -> AnyFloors:
    """Those of the mapper of a chip; as `Floors`."""
    if task.accelerator.tiles == "uneven":
        return UnevenFloors(task, optimize)
    return (DeepFloors if is_deep(task.accelerator) else Floors)(task, optimize)


class Floors:
    """Lower bounds of the least energy, or the fewest cycles, of a task in any sizes of the memories.

    Of energy they are those of `hwmodel.mapper.free.bound_best`; of cycles they may be lower.

    Args:
        task: as the array sees it, with any sizes.
        optimize: `energy` or `latency`.
    """

    most = 1024

    def __init__(self, task: Task, optimize: Objective) -> None:
        branches = branches_of(task)
        self._wanted = wanted_of(branches, optimize)
        self._parts = [_Part.of(branch, self._wanted) for branch in branches if len(branch.unrollings)]

    def bound(self, task: Task) -> float:
        """The bound for a task that differs from the own one in sizes alone; infinite where nothing fits."""
        if not self._parts:
            return math.inf
        capacity = self._parts[0].space.within(task).capacity[BUFFER]
        return min(part.score(task, capacity, self._wanted) for part in self._parts)
