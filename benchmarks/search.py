"""Which proposer finds the front of a mixed-precision search with the fewest candidates?

    python benchmarks/search.py                        all proposers, 2 problems (about 2 minutes)
    python benchmarks/search.py --repeats 5 --store    write benchmarks/results/search.json

The problem stands for a network of 19 groups at {2, 4, 8} weight bits. Group g holds the share w_g of the
weights; going from 8 to 4 or 2 bits loses accuracy d_g4 < d_g2, and pairs of groups at 2 bits lose more
together. A candidate x has accuracy 0.97 exp(-d(x)) and cost sum w_g b_g(x) (average bits). All draws are
log-normal or uniform, from the seed of the problem.

The figure of merit is the hypervolume above accuracy 0.1 and below 8 bits, as a share of that of the
hull path of the noise-free sensitivities (near-exact: it leaves out the interactions), after a budget of
distinct candidates. Three starts: cold; the three uniform candidates; these and 15 candidates along the
hull path of sensitivities with 50 % log-normal noise, as the search has them (search/knapsack.py).

The figures quoted in search/proposer.py and search/mutation.py come from here.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # this folder has a `search` too: the repository comes first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.provenance import provenance, store

GROUPS = 19
BITS = np.array([2, 4, 8])
FLOAT_ACCURACY = 0.97
REFERENCE = (0.1, 8.0)  # accuracy, average bits
BUDGETS = (60, 150)
STARTS = ("cold", "uniform", "knapsack")
SENSITIVITY_NOISE = 0.5
KNAPSACK_CANDIDATES = 15
STARTUP_TRIALS = 10
FIRST_SEED = 100

Point = tuple[int, ...]
Score = tuple[float, float]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """One network: index 0, 1, 2 of a group means 2, 4, 8 bits.

    Attributes:
        shares: (groups,) share of the weights.
        drops: (groups, 3) loss of accuracy of each group at each width.
        interactions: (groups, groups) further loss of two groups at 2 bits.
    """

    shares: Array
    drops: Array
    interactions: Array

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Problem:
        """A problem from a random generator."""
        shares = rng.lognormal(0, 1, GROUPS)
        weight = rng.lognormal(0, 1, GROUPS)
        shares, weight = shares / shares.sum(), weight / weight.sum()
        at_four = rng.uniform(0.05, 0.3, GROUPS)
        drops = np.stack([weight, weight * at_four, 0 * weight], axis=1) * 2.2
        return cls(shares, drops, rng.uniform(0, 1, (GROUPS, GROUPS)) * np.outer(weight, weight))

    def score(self, point: Point) -> Score:
        """(accuracy, average bits) of a candidate."""
        index = np.array(point)
        lowest = (index == 0).astype(float)
        drop = self.drops[np.arange(GROUPS), index].sum() + lowest @ self.interactions @ lowest
        return FLOAT_ACCURACY * float(np.exp(-drop)), float((self.shares * BITS[index]).sum())

    def hull_path(self, count: int, rng: np.random.Generator, noise: float) -> list[Point]:
        """At most `count` candidates along the hull path of the (noisy) drops, from 8 bits to 2."""
        drops = self.drops * np.exp(rng.normal(0, noise, self.drops.shape))
        steps: list[tuple[float, int, int]] = []
        for group in range(GROUPS):
            cost = self.shares[group] * BITS
            first, second, whole = (
                float((drops[group, low] - drops[group, high]) / (cost[high] - cost[low]))
                for high, low in ((2, 1), (1, 0), (2, 0))
            )
            steps += [(first, group, 1), (second, group, 0)] if first <= second else [(whole, group, 0)]
        point = [2] * GROUPS
        path = [tuple(point)]
        for _, group, index in sorted(steps):
            point[group] = index
            path.append(tuple(point))
        chosen = np.unique(np.linspace(0, len(path) - 1, count).round().astype(int))
        return [path[i] for i in chosen]


def hypervolume(scores: Sequence[Score]) -> float:
    """Share of the box between the reference and (1, 2 bits) that the scores dominate."""
    floor, ceiling = REFERENCE
    volume, best = 0.0, floor
    for accuracy, cost in sorted(scores, key=lambda score: (score[1], score[0])):
        if accuracy > best:
            volume += (ceiling - cost) * (accuracy - best)
            best = accuracy
    return volume / ((1.0 - floor) * (ceiling - float(BITS[0])))


class Search:
    """The candidates scored so far, each once, in order."""

    def __init__(self, problem: Problem, budget: int, start: Sequence[Point]) -> None:
        self.problem = problem
        self.budget = budget
        self.seen: dict[Point, Score] = {}
        for point in start:
            self.add(point)

    @property
    def done(self) -> bool:
        return len(self.seen) >= self.budget

    def add(self, point: Sequence[int]) -> bool:
        """Score a candidate unless it was scored; whether it was new."""
        key = tuple(int(index) for index in point)
        if key in self.seen:
            return False
        self.seen[key] = self.problem.score(key)
        return True

    def front(self) -> list[Point]:
        """The non-dominated candidates, in the order they were scored."""
        scores = np.array(list(self.seen.values()))
        dominated = [
            ((scores[:, 0] >= a) & (scores[:, 1] <= c) & ((scores[:, 0] > a) | (scores[:, 1] < c))).any()
            for a, c in scores
        ]
        return [point for point, worse in zip(self.seen, dominated, strict=True) if not worse]


Proposer = Callable[[Search, int], None]


def random_points(search: Search, seed: int) -> None:
    """Uniform draws."""
    _fill(search, np.random.default_rng(seed), search.budget)


def _fill(search: Search, rng: np.random.Generator, count: int) -> None:
    while len(search.seen) < count:
        search.add(rng.integers(0, len(BITS), GROUPS).tolist())


def mutation(search: Search, seed: int, *, crossover: bool = False) -> None:
    """One to three steps away from a member of the front; half of them crossed with another first."""
    rng = np.random.default_rng(seed)
    _fill(search, rng, STARTUP_TRIALS)
    while not search.done:
        front = search.front()
        child = np.array(front[rng.integers(len(front))])
        if crossover and len(front) > 1 and rng.random() < 0.5:
            other = np.array(front[rng.integers(len(front))])
            child = np.where(rng.random(GROUPS) < 0.5, other, child)
        changes = 1 + rng.binomial(2, 0.5)
        for group in rng.choice(GROUPS, changes, replace=False):
            step = rng.choice([-1, 1])
            child[group] += step if 0 <= child[group] + step < len(BITS) else -step
        search.add(child.tolist())


def crossover_mutation(search: Search, seed: int) -> None:
    """`mutation` with crossover."""
    mutation(search, seed, crossover=True)


def nsga(search: Search, seed: int) -> None:
    """Optuna's NSGA-II, population 20; what was scored first is queued."""
    sampler = optuna.samplers.NSGAIISampler(population_size=20, seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for point in search.seen:
        study.enqueue_trial({f"g{group}": index for group, index in enumerate(point)})
    _ask_and_tell(search, study, _distributions(ordinal=False), seed, repeats_teach=True)


def tpe(search: Search, seed: int, *, ordinal: bool = False, multivariate: bool = True) -> None:
    """Optuna's TPE, taught what was scored first."""
    sampler = optuna.samplers.TPESampler(
        multivariate=multivariate, seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=False
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    distributions = _distributions(ordinal=ordinal)
    for point, values in search.seen.items():
        params = {f"g{group}": index for group, index in enumerate(point)}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, values=list(values)))
    _ask_and_tell(search, study, distributions, seed, repeats_teach=False)


def tpe_ordinal(search: Search, seed: int) -> None:
    """`tpe` with integer parameters."""
    tpe(search, seed, ordinal=True)


def tpe_univariate(search: Search, seed: int) -> None:
    """`tpe` with integer parameters drawn one by one."""
    tpe(search, seed, ordinal=True, multivariate=False)


def _distributions(*, ordinal: bool) -> dict[str, optuna.distributions.BaseDistribution]:
    indices = tuple(range(len(BITS)))
    one: optuna.distributions.BaseDistribution = (
        optuna.distributions.IntDistribution(0, indices[-1])
        if ordinal
        else optuna.distributions.CategoricalDistribution(indices)
    )
    return {f"g{group}": one for group in range(GROUPS)}


def _ask_and_tell(
    search: Search,
    study: optuna.Study,
    distributions: dict[str, optuna.distributions.BaseDistribution],
    seed: int,
    *,
    repeats_teach: bool,
) -> None:
    """Until the budget is spent; a sampler that only repeats itself is cut off and filled up at random."""
    rng = np.random.default_rng(seed)
    for _ in range(4 * search.budget):
        if search.done:
            return
        trial = study.ask(distributions)
        point = tuple(int(trial.params[f"g{group}"]) for group in range(GROUPS))
        if search.add(point) or repeats_teach:
            study.tell(trial, list(search.seen[point]))
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    _fill(search, rng, search.budget)


PROPOSERS: dict[str, Proposer] = {
    "random": random_points,
    "nsga2": nsga,
    "tpe": tpe,
    "tpe-ordinal": tpe_ordinal,
    "tpe-univariate-ordinal": tpe_univariate,
    "mutation": mutation,
    "mutation-crossover": crossover_mutation,
}


def first_candidates(start: str, problem: Problem, rng: np.random.Generator) -> list[Point]:
    """What every proposer is given before its first proposal."""
    uniform: list[Point] = [] if start == "cold" else [(index,) * GROUPS for index in range(len(BITS))]
    if start == "knapsack":
        uniform += problem.hull_path(KNAPSACK_CANDIDATES, rng, SENSITIVITY_NOISE)
    return uniform


def measure(proposers: Sequence[str], repeats: int) -> Iterator[dict[str, Any]]:
    """One row per start, budget and proposer: shares of the hypervolume, and seconds per search."""
    for start in STARTS:
        for budget in BUDGETS:
            for name in proposers:
                shares, began = [], time.perf_counter()
                for repeat in range(repeats):
                    rng = np.random.default_rng(FIRST_SEED + repeat)
                    problem = Problem.draw(rng)
                    given = first_candidates(start, problem, rng)
                    best = hypervolume([problem.score(p) for p in problem.hull_path(100, rng, 0.0)])
                    search = Search(problem, budget, given)
                    PROPOSERS[name](search, repeat)
                    shares.append(hypervolume(list(search.seen.values())) / best)
                yield {
                    "start": start,
                    "budget": budget,
                    "proposer": name,
                    "mean": float(np.mean(shares)),
                    "sd": float(np.std(shares)),
                    "shares": shares,
                    "seconds": (time.perf_counter() - began) / repeats,
                }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; with --store also write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=2, help="problems per row (default 2)")
    parser.add_argument("--proposers", nargs="+", choices=PROPOSERS, default=list(PROPOSERS), metavar="NAME")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/search.json")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("`--repeats >= 1` must hold")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    rows = []
    print(f"{'start':10} {'budget':>6}  {'proposer':24} {'hypervolume':>13}  {'s':>6}")
    for row in measure(options.proposers, options.repeats):
        rows.append(row)
        merit = f"{row['mean']:.3f} ± {row['sd']:.3f}"
        line = f"{row['start']:10} {row['budget']:6}  {row['proposer']:24} {merit:>13}  {row['seconds']:6.2f}"
        print(line, flush=True)
    if options.store:
        seeds = list(range(FIRST_SEED, FIRST_SEED + options.repeats))
        data = {"benchmark": "search", **provenance(["numpy", "optuna"]), "seeds": seeds, "rows": rows}
        print(f"stored in {store('search', data).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
