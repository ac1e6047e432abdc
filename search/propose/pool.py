"""The candidates that a proposer chooses from, with exact costs.

A space of up to `MAX_LISTED` candidates is listed whole. Of a larger one the pool holds, for the model at hand: the
optima of the integer program over the model's effects, and over draws of them, for each cost and for mixtures of
the costs; then neighbours of the best of these, round after round. Costs of neighbours are estimated from marginal
ones (a network that keeps tensors on chip has costs that do not add up), and only the most promising are priced
exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property

import numpy as np

from hwmodel.errors import ConfigError
from search.propose.accuracy_model import AccuracyModel
from search.propose.problem import Floats, Picks, Problem, unique_rows
from search.propose.program import hull_path, sweep

MAX_LISTED = 50_000
DRAWS = 4
#: Rounds of neighbours, how many each makes, of how many parents, and how many candidates go on to the next.
ROUNDS, NEIGHBOURS, MAX_PARENTS, MAX_KEPT = 5, 6_000, 256, 3_000
#: Candidates of a large space that are priced exactly.
MAX_PRICED = 1_000

Hope = Callable[[Picks, Floats], Floats]


class Pool:
    """Candidates of a problem and their costs.

    Args:
        problem: the search.

    Raises:
        ConfigError: no candidate is within the limits.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._known: dict[bytes, Floats] = {}
        self._listed: tuple[Picks, Floats] | None = None
        if problem.size <= MAX_LISTED:
            self._listed = self._allowed(all_picks(problem.sizes))
            if not len(self._listed[0]):
                raise ConfigError(f"limits: none of {problem.size} candidates is within them. Relax one.")
            self.ideal, self.reference = _box(self._listed[1], self._precise_cost)
        else:
            self.ideal, self.reference = _box(self.costs(self._extremes()), self._precise_cost)

    # ---- costs ---------------------------------------------------------------------------------

    def costs(self, picks: Picks) -> Floats:
        """Exact costs of the objectives (n, num_costs)."""
        return self._all_costs(picks)[:, : self.problem.num_costs]

    def _all_costs(self, picks: Picks) -> Floats:
        """Those that are only limited as well; what was asked for before is remembered."""
        keys = [row.tobytes() for row in picks]
        missing = {key: index for index, key in enumerate(keys) if key not in self._known}
        if missing:
            found = self.problem.costs(picks[list(missing.values())])
            self._known.update(zip(missing, found, strict=True))
        return np.array([self._known[key] for key in keys])

    def _allowed(self, picks: Picks) -> tuple[Picks, Floats]:
        """The rows within all limits, and their costs."""
        costs = self.problem.costs(picks)
        mask = self.problem.allowed(costs)
        return picks[mask], costs[mask, : self.problem.num_costs]

    @cached_property
    def _precise_cost(self) -> Floats | None:
        if not self.problem.precise:
            return None
        cost = self._all_costs(np.array([self.problem.precise], dtype=np.int64))
        return cost[0, : self.problem.num_costs] if self.problem.allowed(cost)[0] else None

    def is_open(self, row: Picks) -> bool:
        """One candidate (num_decisions,) is within all limits; False for an empty row."""
        return bool(len(row)) and bool(self.problem.allowed(self._all_costs(row[None]))[0])

    # ---- candidates ----------------------------------------------------------------------------

    def candidates(self, model: AccuracyModel, hope: Hope, seed: int) -> tuple[Picks, Floats]:
        """Candidates within all limits, and their exact costs. Shapes (n, num_decisions), (n, num_costs).

        Args:
            model: of the accuracy.
            hope: (picks, costs) -> (n,) how much is expected of candidates.
            seed: decides the draws in a large space.
        """
        if self._listed is not None:
            return self._listed
        rng = np.random.default_rng(seed)
        paths = self._paths(model, rng)
        picks = paths
        for _ in range(ROUNDS):
            order = np.argsort(-hope(picks, self._estimates(picks)), kind="stable")
            picks = picks[order[:MAX_KEPT]]
            near = _neighbours(picks[:MAX_PARENTS], self.problem.sizes, rng)
            picks = unique_rows(np.concatenate((picks, near)), picks.shape[1])
        order = np.argsort(-hope(picks, self._estimates(picks)), kind="stable")
        spread = paths[np.unique(np.linspace(0, len(paths) - 1, MAX_PRICED // 2).round().astype(int))]
        kept = unique_rows(np.concatenate((spread, picks[order[: MAX_PRICED // 2]])), picks.shape[1])
        return self._allowed(kept)

    def _paths(self, model: AccuracyModel, rng: np.random.Generator) -> Picks:
        """Optima of the integer program over the expected effects, and over draws of them."""
        marginal, lists = self._marginal, []
        mixtures = _mixtures(marginal[0].shape[1], rng)
        for turn in range(1 + DRAWS):
            effects = model.effects(None if turn == 0 else rng)
            for weights in mixtures:
                scaled = [part @ (weights / self._extent) for part in marginal]
                lists.append(hull_path(effects, scaled))
                if turn == 0:
                    lists.append(sweep(effects, scaled))
        return unique_rows(np.concatenate(lists), len(self.problem.sizes))

    # ---- costs of a large space ----------------------------------------------------------------

    @cached_property
    def _extent(self) -> Floats:
        extent = np.abs(self.reference - self.ideal)
        return np.where(extent > 0, extent, 1.0)

    @cached_property
    def _top(self) -> Picks:
        """The most precise candidate, or the last option of every decision."""
        return np.array(self.problem.precise or [size - 1 for size in self.problem.sizes], dtype=np.int64)

    @cached_property
    def _marginal(self) -> list[Floats]:
        """Per decision (num_options, num_costs): what each option adds to the most precise candidate's costs."""
        rows = [self._top]
        for column, size in enumerate(self.problem.sizes):
            changed = np.repeat(self._top[None], size, axis=0)
            changed[:, column] = np.arange(size)
            rows.extend(changed)
        costs = self.problem.costs(np.array(rows))[:, : self.problem.num_costs]
        bounds = np.cumsum([1, *self.problem.sizes])
        return [costs[start:end] - costs[0] for start, end in itertools.pairwise(bounds)]

    def _extremes(self) -> Picks:
        """The most precise candidate, and for each cost the one whose options are the cheapest."""
        marginal = self._marginal
        cheapest = [[int(np.argmin(part[:, cost])) for part in marginal] for cost in range(marginal[0].shape[1])]
        return np.array([self._top.tolist(), *cheapest], dtype=np.int64)

    def _estimates(self, picks: Picks) -> Floats:
        """Costs (n, num_costs) as if they added up, scaled to meet those of the two ends."""
        total = self._sums(picks)
        ends = self._extremes()
        exact, guess = self.costs(ends), self._sums(ends)
        found = np.empty_like(total)
        for cost in range(total.shape[1]):
            span = guess[1 + cost, cost]
            slope = (exact[1 + cost, cost] - exact[0, cost]) / span if span else 1.0
            found[:, cost] = exact[0, cost] + slope * total[:, cost]
        return found

    def _sums(self, picks: Picks) -> Floats:
        total = np.zeros((len(picks), self._marginal[0].shape[1]))
        for column, part in enumerate(self._marginal):
            total += part[picks[:, column]]
        return total


def _mixtures(num_costs: int, rng: np.random.Generator) -> list[Floats]:
    """Weights of the costs: each alone, all alike, and draws between."""
    if num_costs == 1:
        return [np.ones(1)]
    return [*np.eye(num_costs), np.full(num_costs, 1 / num_costs), *rng.dirichlet(np.ones(num_costs), num_costs)]


def _neighbours(parents: Picks, sizes: tuple[int, ...], rng: np.random.Generator) -> Picks:
    """`NEIGHBOURS` copies of random parents, each with one to three decisions redrawn, mostly by one step."""
    free = np.array([column for column, size in enumerate(sizes) if size > 1])
    children = parents[rng.integers(len(parents), size=NEIGHBOURS)].copy()
    limits = np.array(sizes)
    for change in range(3):
        rows = np.flatnonzero(rng.random(NEIGHBOURS) < (1.0, 0.6, 0.3)[change])
        columns = rng.choice(free, size=len(rows))
        step = rng.choice([-1, 1], size=len(rows))
        moved = np.clip(children[rows, columns] + step, 0, limits[columns] - 1)
        drawn = rng.integers(limits[columns])
        children[rows, columns] = np.where(rng.random(len(rows)) < 0.7, moved, drawn)
    return children


def all_picks(sizes: tuple[int, ...]) -> Picks:
    """Every candidate, the last decision changing fastest. Shape (size, num_decisions)."""
    grid = np.indices(sizes, dtype=np.int64).reshape(len(sizes), -1)
    return np.ascontiguousarray(grid.T)


def _box(costs: Floats, precise: Floats | None) -> tuple[Floats, Floats]:
    return costs.min(axis=0), costs.max(axis=0) if precise is None else precise
