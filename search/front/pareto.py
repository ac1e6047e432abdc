"""Non-dominated sorting, hypervolume and the knee of a front.

Everything works on losses (less is better), shape (num_points, num_objectives). a dominates b when
a <= b in every objective and a < b in at least one; equal points do not dominate each other.

Sources: Deb et al., NSGA-II, IEEE TEC 2002, section III-A (non-dominated ranks); Zitzler and Thiele,
IEEE TEC 1999 (hypervolume); Satopaa et al., Finding a "Kneedle" in a haystack, ICDCSW 2011, and Das, On
characterizing the knee of the Pareto curve, Structural Optimization 1999 (knee: farthest from the chord).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwmodel.errors import ConfigError
from search.front.objective import AS_MEASURED, Accuracies, Objective, first_cost, losses_of, resolve_objectives
from search.front.results import Result

Losses = NDArray[np.float64]


def _matrix(losses: ArrayLike) -> Losses:
    matrix = np.asarray(losses, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < 1:
        raise ConfigError(f"losses: must have shape (points, objectives), but got {matrix.shape}.")
    if np.isnan(matrix).any():
        raise ConfigError("losses: must hold no nan. Leave failed candidates out.")
    return matrix


def non_dominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates. Shape (num_points,).

    Duplicates of a non-dominated point are all non-dominated. O(n log n) for two objectives, else
    O(front * n).
    """
    matrix = _matrix(losses)
    if len(matrix) == 0:
        return np.zeros(0, dtype=np.bool_)
    unique, inverse = np.unique(matrix, axis=0, return_inverse=True)  # rows in lexicographic order
    mask = _front_two(unique) if unique.shape[1] == 2 else _front_many(unique)
    kept: NDArray[np.bool_] = mask[inverse.reshape(-1)]
    return kept


def _front_two(rows: Losses) -> NDArray[np.bool_]:
    """Rows are unique and sorted by the first column: a row survives if its second is a new minimum."""
    best_before = np.minimum.accumulate(rows[:-1, 1])
    return np.concatenate((np.ones(1, dtype=np.bool_), rows[1:, 1] < best_before))


def _front_many(rows: Losses) -> NDArray[np.bool_]:
    """Rows are unique and lexicographically sorted, so a row is only dominated by an earlier one."""
    alive = np.ones(len(rows), dtype=np.bool_)
    for index in range(len(rows)):
        if alive[index]:
            alive[index + 1 :] &= ~(rows[index] <= rows[index + 1 :]).all(axis=1)
    return alive


def ranks(losses: ArrayLike) -> NDArray[np.int64]:
    """Non-dominated rank of every point: 0 for the front, 1 for the front without it, and so on."""
    matrix = _matrix(losses)
    result = np.full(len(matrix), -1, dtype=np.int64)
    left = np.arange(len(matrix))
    rank = 0
    while len(left):
        front = non_dominated(matrix[left])
        result[left[front]] = rank
        left = left[~front]
        rank += 1
    return result


def hypervolume(losses: ArrayLike, reference: ArrayLike) -> float:
    """Volume that the points dominate, bounded by the reference point.

    Args:
        losses: (num_points, num_objectives); points that do not dominate the reference add nothing.
        reference: (num_objectives,), worse than every point of interest.

    Returns:
        The exact volume: by a sweep for one or two objectives, by slicing along the last objective for more
        (exponential in the number of objectives, which is at most five here).
    """
    matrix = _matrix(losses)
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != (matrix.shape[1],):
        raise ConfigError(f"reference: must have {matrix.shape[1]} values, but got shape {corner.shape}.")
    inside = matrix[(matrix < corner).all(axis=1)]
    return _volume(inside, corner)


def _volume(points: Losses, corner: Losses) -> float:
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(corner[0] - points.min())
    front = np.unique(points[non_dominated(points)], axis=0)
    if points.shape[1] == 2:
        right = np.concatenate((front[1:, 0], corner[:1]))
        return float(((right - front[:, 0]) * (corner[1] - front[:, 1])).sum())
    order = np.argsort(front[:, -1], kind="stable")
    front = front[order]
    tops = np.concatenate((front[1:, -1], corner[-1:]))
    return sum(
        float(top - front[index, -1]) * _volume(front[: index + 1, :-1], corner[:-1])
        for index, top in enumerate(tops)
        if top > front[index, -1]
    )


def knee(losses: ArrayLike) -> int:
    """Index of the knee among points that do not dominate each other.

    Every axis is scaled to [0, 1] over the points. The knee lies farthest from the hyperplane through the
    extreme points, on the side of the ideal one; in two dimensions that is the chord between the ends of
    the front. Scaled, the plane is sum(x) = 1, so the knee has the smallest sum of scaled losses. An
    axis without extent plays no part. Ties go to the smaller first loss, then to the first point.

    Raises:
        ConfigError: there is no point.
    """
    matrix = _matrix(losses)
    if len(matrix) == 0:
        raise ConfigError("knee: the front has no points.")
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    distance = np.round(((matrix - low) / extent).sum(axis=1), 12)
    return int(np.lexsort((matrix[:, 0], distance))[0])


def pareto_front(
    results: Sequence[Result],
    objectives: Sequence[str | Objective],
    *,
    unique: bool = False,
    accuracies: Accuracies = AS_MEASURED,
) -> tuple[Result, ...]:
    """The results that no other dominates, cheapest first (by the first cost), then by number.

    Args:
        results: of one stage; failed ones are left out.
        objectives: names or objectives, accuracy among them.
        unique: of results with equal values in every objective keep only the first.
        accuracies: number of a result -> what its accuracy is believed to be; without one it counts as measured.
    """
    axes = _objectives(objectives)
    done = [result for result in results if result.is_done]
    if not done:
        return ()
    losses = losses_of(done, axes, accuracies)
    chosen = np.flatnonzero(non_dominated(losses))
    column = axes.index(first_cost(axes))
    ordered = sorted(chosen, key=lambda index: (losses[index, column], done[index].number))
    if unique:
        first = {losses[index].tobytes(): index for index in reversed(ordered)}
        ordered = [index for index in ordered if first[losses[index].tobytes()] == index]
    return tuple(done[index] for index in ordered)


def _objectives(objectives: Sequence[str | Objective]) -> tuple[Objective, ...]:
    return resolve_objectives([item if isinstance(item, str) else item.name for item in objectives])
