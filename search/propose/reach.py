"""Whether any candidate is within the limits, known before anything is trained."""

from __future__ import annotations

import itertools

import numpy as np

from hwmodel.errors import ConfigError
from search.front.limits import Limits
from search.propose.many import ManyCosts, layout_of
from search.propose.pool import MAX_LISTED, all_picks
from search.propose.pricing import Pricer
from search.propose.problem import Picks
from search.space import Space


def check_reachable(space: Space, limits: Limits, pricer: Pricer) -> None:
    """Refuse limits on costs that no candidate meets.

    All candidates of a space that can be listed are priced. Of a larger one those are whose options are the
    cheapest, seen from the most precise and from the narrowest candidate; where costs do not add up it may hold a
    cheaper one, of which nothing is known.

    Raises:
        ConfigError: a limit, or all of them together, is out of reach; the least that was found is named.
    """
    keys = list(dict.fromkeys(limit.objective.key for limit in limits.costs))
    costs = ManyCosts(pricer, space, keys)
    sizes = layout_of(space).sizes
    is_listed = space.size <= MAX_LISTED
    tried = all_picks(sizes) if is_listed else _cheapest(sizes, costs)
    values, least_values = costs(tried), costs.least(tried)
    within = np.ones(len(values), dtype=np.bool_)
    for limit in limits.costs:
        column = least_values[:, keys.index(limit.objective.key)]
        if not limit.holds(column).any():
            least = limit.objective.written(float(column.min()))
            raise ConfigError(
                f"limits: {limit} must hold for some candidate, but the least of {space.size} is {least}. Relax it."
            )
        within &= limit.holds(values[:, keys.index(limit.objective.key)])
    if is_listed and not within.any():
        raise ConfigError(f"limits: none of {space.size} candidates is within all of them. Relax one.")


def _cheapest(sizes: tuple[int, ...], costs: ManyCosts) -> Picks:
    """From either end of the space: every single change, and for each cost the options that cost least alone."""
    rows = []
    starts = np.cumsum([0, *sizes])
    for base in (np.array(sizes, dtype=np.int64) - 1, np.zeros(len(sizes), dtype=np.int64)):
        changed = np.repeat(base[None], sum(sizes), axis=0)
        for column, size in enumerate(sizes):
            changed[starts[column] : starts[column + 1], column] = np.arange(size)
        values = costs.least(changed)
        best = [[int(np.argmin(values[a:b, cost])) for a, b in itertools.pairwise(starts)]
                for cost in range(values.shape[1])]  # fmt: skip
        rows += [changed, np.array(best, dtype=np.int64)]
    return np.concatenate(rows)
