"""How the front grew: hypervolume after every score of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from reports.run.folder import Run
from search.front.objective import losses_of, resolve_objectives
from search.front.pareto import hypervolume, non_dominated

#: Points of one line; a longer history is looked at this often.
MAX_STEPS = 150


class History(TypedDict):
    """One stage: scores so far, and what they dominate of the box between best and worst values (0 to 1)."""

    stage: str
    scores: list[int]
    volume: list[float]


def histories(run: Run) -> list[History]:
    """A line per fidelity, PTQ and QAT, over the measured accuracies; every axis scaled to its scores."""
    objectives = resolve_objectives(run.objectives)
    found: list[History] = []
    for stage in ("ptq", "qat"):
        done = [result for result in run.results if result.stage == stage and result.is_done]
        known = [result for result in done if all(o.key in result.costs for o in objectives if o.key)]
        if len(known) > 1:
            found.append(_history(stage, losses_of(known, objectives)))
    return found


def _history(stage: str, losses: NDArray[np.float64]) -> History:
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    steps = _steps(len(scaled))
    corner = np.full(scaled.shape[1], 1.0 + 1e-9)  # a point on the edge of the box still has a thin volume
    front = scaled[:0]
    volumes, start = [], 0
    for step in steps:
        pool = np.concatenate((front, scaled[start:step]))
        front, start = pool[non_dominated(pool)], step
        volumes.append(round(hypervolume(front, corner), 5))
    return {"stage": stage, "scores": [int(step) for step in steps], "volume": volumes}


def _steps(count: int) -> Sequence[int]:
    """Positions of the looks: each score, or `MAX_STEPS` spread over them."""
    return sorted({round(step) for step in np.linspace(1, count, min(count, MAX_STEPS)).tolist()})
