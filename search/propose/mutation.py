"""New candidates for the second stage: neighbours of the QAT front.

A parent is drawn from the front, evenly; one to three of its decisions move one step up or down. On
the synthetic problem of `search.propose.proposer` this did as well as TPE from the uniform candidates (0.792
and 0.873 of the hypervolume at 60 and 150 against 0.790 and 0.870) and better after the knapsack ones (0.967 and
0.980 against 0.960 and 0.969), and it needs no history: there are few QAT results to learn from.

Source: Real et al., Regularized evolution for image classifier architecture search, AAAI 2019 (mutation of
survivors); Laumanns et al., IEEE TEC 2004 (SEMO: uniform parents from the non-dominated set).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search.groups import AxisValue
from search.space import Point, Space

ATTEMPTS = 200


def mutate_front(
    space: Space, parents: Sequence[Point], seen: frozenset[tuple[int, ...]], seed: int
) -> dict[str, AxisValue] | None:
    """A neighbour of one of the parents that is not in `seen`, or None when none was found.

    Args:
        space: the candidates.
        parents: points of the front, in a fixed order.
        seen: `Space.indices` of the points that were scored.
        seed: decides the answer.
    """
    if not parents or not space.parameters or len(seen) >= space.size:
        return None
    rng = np.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        child = _neighbour(space, space.indices(parents[int(rng.integers(len(parents)))]), rng)
        if child not in seen:
            return space.point(child)
    return None


def _neighbour(space: Space, parent: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
    child = list(parent)
    changes = min(len(child), 1 + int(rng.binomial(2, 0.5)))
    for position in rng.choice(len(child), size=changes, replace=False):
        last = len(space.parameters[position].values) - 1
        step = -1 if child[position] == last or (child[position] > 0 and rng.random() < 0.5) else 1
        child[position] += step
    return tuple(child)
