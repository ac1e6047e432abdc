"""Lower bounds of the best mapping with a tile per operand and memory, in any sizes of the memories."""

from __future__ import annotations

import math

from hwmodel.mapper.deep.branch import roomiest
from hwmodel.mapper.free import Objective
from hwmodel.mapper.uneven.ways import Ways, every_split
from hwmodel.nest.task import Task


class UnevenFloors:
    """Lower bounds of the least energy [pJ], or the fewest cycles, of a task: the same in all sizes.

    Args:
        task: as the array sees it, with any sizes.
        optimize: `energy` or `latency`.
    """

    most = 1024

    def __init__(self, task: Task, optimize: Objective) -> None:
        branches = list(roomiest(task))
        if optimize == "energy":
            every = (Ways(branch, every_split(branch)).floor.min(initial=math.inf) for branch in branches)
            self._least = float(min(every))
        else:
            self._least = min(branch.fewest_cycles() for branch in branches)

    def bound(self, task: Task) -> float:
        """The bound for a task that differs from the own one in sizes alone."""
        return self._least
