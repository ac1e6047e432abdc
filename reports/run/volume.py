"""Hypervolume as people compare it: the share of the box between the best and worst values that a run dominates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from search.front.objective import Objective, losses_of, signs
from search.front.pareto import hypervolume, non_dominated
from search.front.results import Result

#: The reference point lies this part of the range beyond the worst values, so that these still count for something.
MARGIN = 0.1


@dataclass(frozen=True, kw_only=True)
class Box:
    """The box that shares are of; its worst corner is the reference point of the hypervolume.

    Attributes:
        objectives: its axes.
        best, worst: losses at the two corners, (num_objectives,); the worst one `MARGIN` beyond what was found.
    """

    objectives: tuple[Objective, ...]
    best: NDArray[np.float64]
    worst: NDArray[np.float64]

    @classmethod
    def of(cls, results: Sequence[Result], objectives: Sequence[Objective]) -> Self | None:
        """Around the results that are done, of all runs that are compared; None where there is none."""
        done = [result for result in results if result.is_done]
        if not done:
            return None
        losses = losses_of(done, objectives)
        best, worst = losses.min(axis=0), losses.max(axis=0)
        return cls(objectives=tuple(objectives), best=best, worst=worst + MARGIN * (worst - best))

    def volume(self, results: Sequence[Result]) -> float:
        """The share of the box that results dominate, by accuracies as measured, in [0, 1]."""
        shares = self.history(results)
        return shares[-1] if shares else 0.0

    def history(self, results: Sequence[Result]) -> list[float]:
        """The share after every result that is done, in their order."""
        done = [result for result in results if result.is_done]
        front = np.empty((0, len(self.objectives)))
        shares: list[float] = []
        for point in self._scaled(done):
            if not (front <= point).all(axis=1).any():
                front = np.vstack((front, point))
                front = front[non_dominated(front)]
                shares.append(hypervolume(front, np.ones(len(self.objectives))))
            else:
                shares.append(shares[-1])
        return shares

    def reference(self) -> str:
        """The worst corner in words: `accuracy 0.5, energy 4.1 mJ`."""
        values = self.worst * signs(self.objectives)
        pairs = zip(self.objectives, values, strict=True)
        return ", ".join(f"{objective.name} {objective.written(float(value))}" for objective, value in pairs)

    def _scaled(self, results: Sequence[Result]) -> NDArray[np.float64]:
        """Losses, 0 at the best corner and 1 at the worst; an axis without extent is 0 and decides nothing."""
        extent = np.where(self.worst > self.best, self.worst - self.best, 1.0)
        if not results:
            return np.empty((0, len(self.objectives)))
        return (losses_of(results, self.objectives) - self.best) / extent
