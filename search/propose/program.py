"""The integer program over sensitivities that add up: one option per decision, least rise at bounded cost.

It is a multiple-choice knapsack. `hull_path` lists its supported optima, those of rise + lambda * cost for some
lambda >= 0: lower convex hulls of the decisions, then hull steps in the order of rise per cost saved, O(n log n) in
the number of options. `sweep` adds optima between them, for all budgets at once (one program of HiGHS per budget
finds no better
ones and takes a thousand times as long: tests/search/test_program.py).

Source: Sinha and Zoltners, The multiple-choice knapsack problem, Operations Research 1979; Kellerer, Pferschy and
Pisinger, Knapsack Problems, 2004, chapter 11. That sensitivities add up is the assumption of HAWQ-V2 (Dong et al.,
NeurIPS 2020).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from search.propose.problem import Floats, Picks

BUDGETS = 1024


def lower_hull(rises: Floats, costs: Floats) -> list[int]:
    """Options on the lower convex hull of (cost, rise), from the smallest rise to the smallest cost.

    Along it the rise added per cost saved never falls. Of equal options the first is kept.
    """
    order = np.lexsort((np.arange(len(rises)), costs, rises))
    hull: list[int] = []
    for index in order.tolist():
        if hull and costs[index] >= costs[hull[-1]]:
            continue  # dominated: no cheaper than an option with no larger rise
        while len(hull) > 1 and _slope(rises, costs, hull[-1], index) <= _slope(rises, costs, hull[-2], hull[-1]):
            hull.pop()
        hull.append(index)
    return hull


def _slope(rises: Floats, costs: Floats, first: int, second: int) -> float:
    """Rise added per cost saved."""
    return float((rises[second] - rises[first]) / (costs[first] - costs[second]))


def hull_path(rises: Sequence[Floats], costs: Sequence[Floats]) -> Picks:
    """Picks from the least rise to the least cost, each optimal at its own cost. Shape (num_steps + 1,
    num_decisions).

    Args:
        rises, costs: per decision, (num_options,); costs add up.
    """
    hulls = [lower_hull(rise, cost) for rise, cost in zip(rises, costs, strict=True)]
    steps = sorted(
        (_slope(rises[group], costs[group], start, end), group, position)
        for group, hull in enumerate(hulls)
        for position, (start, end) in enumerate(itertools.pairwise(hull))
    )
    path = np.empty((len(steps) + 1, len(hulls)), dtype=np.int64)
    path[0] = [hull[0] for hull in hulls]
    for row, (_, group, position) in enumerate(steps, start=1):
        path[row] = path[row - 1]
        path[row, group] = hulls[group][position + 1]
    return path


def sweep(rises: Sequence[Floats], costs: Sequence[Floats], num_budgets: int = BUDGETS) -> Picks:
    """Picks of least rise at each of evenly spaced budgets, each once. Shape (at most num_budgets, num_decisions).

    A dynamic program over the decisions (Kellerer, Pferschy and Pisinger, section 11.5), with the costs rounded to
    1 / num_budgets of the range: what it finds is optimal for the rounded costs.

    Args:
        rises, costs: per decision, (num_options,).
        num_budgets: at least 1.
    """
    low = [float(cost.min()) for cost in costs]
    extent = sum(float(cost.max()) for cost in costs) - sum(low)
    unit = extent / num_budgets if extent > 0 else 1.0
    steps = [np.rint((cost - least) / unit).astype(np.int64) for cost, least in zip(costs, low, strict=True)]
    width = 1 + sum(int(step.max()) for step in steps)
    best = np.full(width, np.inf)
    best[0] = 0.0
    chosen = np.zeros((len(rises), width), dtype=np.int64)
    for decision, (rise, step) in enumerate(zip(rises, steps, strict=True)):
        grown = np.full(width, np.inf)
        for option in np.lexsort((step, rise)).tolist():
            moved = np.full(width, np.inf)
            moved[step[option] :] = best[: width - step[option]] + rise[option]
            better = moved < grown
            grown[better], chosen[decision, better] = moved[better], option
        best = grown
    budgets = np.flatnonzero(
        np.isfinite(best) & (best < np.minimum.accumulate(np.concatenate(([np.inf], best)))[:-1])
    )
    found = np.empty((len(budgets), len(rises)), dtype=np.int64)
    at = budgets.copy()
    for decision in reversed(range(len(rises))):
        found[:, decision] = chosen[decision, at]
        at -= steps[decision][found[:, decision]]
    return found
