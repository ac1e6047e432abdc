"""Neighbours of candidates, for samplers that ask for what was scored already: one to three decisions move a step.

Source: Real et al., Regularized evolution for image classifier architecture search, AAAI 2019 (mutation of
survivors); Laumanns et al., IEEE TEC 2004 (SEMO: uniform parents from the non-dominated set).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from search.groups import AxisValue
from search.space import Point

ATTEMPTS = 200


class Decision(Protocol):
    """One parameter of a space, with the values that it may have."""

    @property
    def name(self) -> str: ...

    @property
    def values(self) -> Sequence[AxisValue]: ...


class Points(Protocol):
    """A space as samplers see it: points by name, or by the positions of their values."""

    @property
    def parameters(self) -> Sequence[Decision]: ...

    @property
    def size(self) -> int: ...

    def indices(self, point: Point) -> tuple[int, ...]: ...

    def point(self, indices: Sequence[int]) -> dict[str, AxisValue]: ...


def mutate_front(
    space: Points, parents: Sequence[Point], seen: frozenset[tuple[int, ...]], seed: int
) -> dict[str, AxisValue] | None:
    """A neighbour of one of the parents that is not in `seen`, or None when none was found.

    Args:
        space: the candidates.
        parents: points of the front, in a fixed order.
        seen: `Points.indices` of the points that were scored.
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


def _neighbour(space: Points, parent: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
    child = list(parent)
    changes = min(len(child), 1 + int(rng.binomial(2, 0.5)))
    for position in rng.choice(len(child), size=changes, replace=False):
        last = len(space.parameters[position].values) - 1
        step = -1 if child[position] == last or (child[position] > 0 and rng.random() < 0.5) else 1
        child[position] += step
    return tuple(child)
