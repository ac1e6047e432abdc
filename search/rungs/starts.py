"""Which trained candidate is nearest to one that is about to be trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search.front.results import Result
from search.propose.asking import point_of
from search.propose.assembling import StudyProblem
from search.space import Point


def nearest(problem: StudyProblem, point: Point, trained: Sequence[Result]) -> Result | None:
    """The one that disturbs the network most alike: of the least sum over groups of |difference of the rises|, then
    of the fewest groups that differ, then the first; None of none.

    Args:
        problem: of the study; its rises are those measured, or guessed from the widths.
        point: the candidate.
        trained: candidates whose weights are there.
    """
    if not trained:
        return None
    (own,) = problem.layout.rows([point])
    rows = problem.layout.rows([point_of(problem.space, result) for result in trained])
    sizes = [rise.sum(axis=1) for rise in problem.rises]
    apart = sum(np.abs(size[rows[:, n]] - size[own[n]]) for n, size in enumerate(sizes))
    differing = (rows != own).sum(axis=1)
    return trained[int(np.lexsort((differing, np.broadcast_to(apart, len(rows))))[0])]
