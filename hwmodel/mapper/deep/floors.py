"""Lower bounds of the best mapping of a task on chips of many levels that differ in the sizes of their memories.

Sizes decide which tiles fit; what these cost is the same.
"""

from __future__ import annotations

from hwmodel.mapper.deep.branch import roomiest
from hwmodel.mapper.free import Objective
from hwmodel.nest.task import Task


class DeepFloors:
    """Lower bounds of the least energy [pJ], or the fewest cycles, of a task in any sizes of the memories.

    Args:
        task: as the array sees it, with any sizes.
        optimize: `energy` or `latency`.
    """

    most = 64  # megabytes each

    def __init__(self, task: Task, optimize: Objective) -> None:
        self._optimize, self._branches = optimize, list(roomiest(task))

    def bound(self, task: Task) -> float:
        """The bound for a task that differs from the own one in sizes alone; infinite where nothing fits."""
        return min(branch.least_in(task, self._optimize) for branch in self._branches)
