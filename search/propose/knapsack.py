"""First candidates along the whole budget, from sensitivities assumed to add up.

Choosing one option per group so that the summed accuracy drop is least under a bound on the summed cost
is a multiple-choice knapsack. Its linear relaxation is solved by the lower convex hulls of the groups:
start from every group's most accurate option and take hull steps in the order of drop per cost saved.
Every configuration on this path minimises drop + lambda * cost for some lambda >= 0, so it is *optimal
at its own cost*: no choice with that cost or less has a smaller summed drop. Optima between two steps
of the path (unsupported ones) are not listed; the search finds those. O(n log n) in the number of options.

Source: Sinha and Zoltners, The multiple-choice knapsack problem, Operations Research 1979; Kellerer,
Pferschy and Pisinger, Knapsack Problems, 2004, section 11.2. The additive assumption is that of HAWQ-V2
(Dong et al., NeurIPS 2020).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of one group: what it costs and how much accuracy it loses."""

    cost: float
    drop: float


@dataclass(frozen=True, kw_only=True)
class Selection:
    """One option per group.

    Attributes:
        picks: index of the option of each group.
        cost, drop: summed over the groups.
    """

    picks: tuple[int, ...]
    cost: float
    drop: float


def lower_hull(options: Sequence[Option]) -> list[int]:
    """Options on the lower convex hull of (cost, drop), from the smallest drop to the smallest cost.

    Along it the drop added per cost saved never falls. Of equal options the first is kept.
    """
    order = sorted(range(len(options)), key=lambda i: (options[i].drop, options[i].cost, i))
    hull: list[int] = []
    for index in order:
        if hull and options[index].cost >= options[hull[-1]].cost:
            continue  # dominated: no cheaper than an option with no larger drop
        while len(hull) > 1 and _slope(options, hull[-1], index) <= _slope(options, hull[-2], hull[-1]):
            hull.pop()
        hull.append(index)
    return hull


def _slope(options: Sequence[Option], first: int, second: int) -> float:
    """Drop added per cost saved."""
    a, b = options[first], options[second]
    return (b.drop - a.drop) / (a.cost - b.cost)


def budget_path(groups: Sequence[Sequence[Option]]) -> list[Selection]:
    """Selections from the least drop to the least cost, each optimal at its own cost.

    Args:
        groups: the options of each group, at least one.
    """
    hulls = [lower_hull(options) for options in groups]
    steps = sorted(
        (_slope(options, start, end), group, position)
        for group, (options, hull) in enumerate(zip(groups, hulls, strict=True))
        for position, (start, end) in enumerate(itertools.pairwise(hull))
    )
    picks = [hull[0] for hull in hulls]
    path = [_selection(groups, picks)]
    for _, group, position in steps:
        picks[group] = hulls[group][position + 1]
        path.append(_selection(groups, picks))
    return path


def _selection(groups: Sequence[Sequence[Option]], picks: Sequence[int]) -> Selection:
    chosen = [options[pick] for options, pick in zip(groups, picks, strict=True)]
    return Selection(
        picks=tuple(picks),
        cost=sum(option.cost for option in chosen),
        drop=sum(option.drop for option in chosen),
    )


def spread(path: Sequence[Selection], count: int) -> list[Selection]:
    """At most `count` selections of a path, evenly spread along the cost at every length of the list.

    The cheapest comes first, then the most accurate, then each time the one farthest in cost from those
    chosen before.
    """
    if not path or count <= 0:
        return []
    chosen = [len(path) - 1]
    gaps = [abs(selection.cost - path[-1].cost) for selection in path]
    while len(chosen) < count and max(gaps) > 0:
        farthest = gaps.index(max(gaps))
        chosen.append(farthest)
        gaps = [min(gap, abs(item.cost - path[farthest].cost)) for gap, item in zip(gaps, path, strict=True)]
    return [path[index] for index in chosen]
