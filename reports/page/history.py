"""How the front grew: hypervolume after every score of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from reports.run.folder import Run
from reports.run.volume import Box
from search.front.objective import resolve_objectives

#: Points of one line; a longer history is looked at this often.
MAX_STEPS = 150


class History(TypedDict):
    """One stage: scores so far, and the share of its `Box` that they dominate (0 to 1)."""

    stage: str
    scores: list[int]
    volume: list[float]


def histories(run: Run) -> list[History]:
    """A line per fidelity, PTQ and QAT, over the measured accuracies, each in the box of its own scores."""
    objectives = resolve_objectives(run.objectives)
    found: list[History] = []
    for stage in ("ptq", "qat"):
        done = [result for result in run.results if result.stage == stage and result.is_done]
        known = [result for result in done if all(o.key in result.costs for o in objectives if o.key)]
        box = Box.of(known, objectives)
        if box is not None and len(known) > 1:
            shares, steps = box.history(known), _steps(len(known))
            volume = [round(shares[step - 1], 5) for step in steps]
            found.append({"stage": stage, "scores": list(steps), "volume": volume})
    return found


def _steps(count: int) -> Sequence[int]:
    """Positions of the looks: each score, or `MAX_STEPS` spread over them."""
    return sorted({round(step) for step in np.linspace(1, count, min(count, MAX_STEPS)).tolist()})
