"""New candidates for the first stage: Optuna's multivariate TPE, made repeatable.

Each proposal is drawn by a fresh sampler whose seed comes from (study seed, number of the candidate,
attempt), from the results so far in the order of the ledger. Where it asks for what was scored already (it
does so in small spaces), a neighbour of that is taken. So a study that was interrupted and resumed
proposes exactly what an uninterrupted one does; a sampler that keeps its random state could not.

Why TPE (benchmarks/search.py): share of the hypervolume of a near-exact front on a synthetic problem (19
layers x {2, 4, 8} bits, additive drops plus pairwise interactions, accuracy = 0.97 exp(-drop); mean of 5
problems, standard deviation 0.01 to 0.09), from a cold start:

    budget   random   NSGA-II   TPE univariate   TPE multivariate   TPE multivariate, ordinal
        60    0.665     0.699            0.659              0.762                       0.730
       150    0.729     0.794            0.729              0.842                       0.810

and after the uniform and 15 knapsack candidates (sensitivities with 50 % noise): 0.957 for random, 0.957 for
NSGA-II, 0.960 for TPE at 60; 0.957, 0.958, 0.969 at 150, against 0.679 for random with the uniform ones alone.
Ordinal parameters did a little better there (0.968, 0.983) at ten times the time.

Source: Bergstra et al., NeurIPS 2011; Ozaki et al., Multiobjective TPE, JAIR 2022 (optuna.samplers.TPESampler).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.front.objective import Objective
from search.front.results import Result
from search.groups import AxisValue
from search.propose.mutation import mutate_front
from search.seeds import derive_seed
from search.space import Space
from workloads.compress.config import CompressionConfig

ATTEMPTS = 6
STARTUP_TRIALS = 10
#: Spaces up to this size are listed to find what is left; larger ones are never exhausted in practice.
MAX_LISTED = 20_000


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna without its log lines and its notes on experimental arguments; as it was afterwards."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The parameters as Optuna knows them; values as users write them, so that its dashboard reads well."""
    return {p.name: CategoricalDistribution(p.values) for p in space.parameters}


def point_of(space: Space, result: Result) -> dict[str, AxisValue]:
    """A result's candidate as a point of this space (which may have grown since)."""
    return space.point_of(CompressionConfig.from_dict(result.config))


class Proposer:
    """Asks for points that were not scored yet.

    Args:
        space: the candidates.
        objectives: of the study.
        seed: of the study.
    """

    def __init__(self, space: Space, objectives: Sequence[Objective], seed: int) -> None:
        self._space = space
        self._objectives = tuple(objectives)
        self._seed = seed
        self._distributions = distributions(space)
        with quiet_optuna():
            self._study = optuna.create_study(directions=[objective.direction for objective in objectives])

    def observe(self, result: Result) -> None:
        """Learn from one result of the first stage; call it in the order of the ledger. Failures teach nothing."""
        if not result.is_done or not self._distributions:
            return
        with quiet_optuna():
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=point_of(self._space, result),
                    distributions=self._distributions,
                    values=[objective.value(result) for objective in self._objectives],
                )
            )

    def propose(self, number: int, seen: frozenset[tuple[int, ...]]) -> dict[str, AxisValue] | None:
        """A point that is not in `seen` (as indices), or None when the space is exhausted.

        Args:
            number: of the candidate that this will be; with the results observed it decides the answer.
            seen: `Space.indices` of every point scored so far.
        """
        if len(seen) >= self._space.size:
            return None
        drawn: list[dict[str, AxisValue]] = []
        for attempt in range(ATTEMPTS):
            point = self._ask(derive_seed(self._seed, "sampler", number, attempt))
            if self._space.indices(point) not in seen:
                return point
            drawn.append(point)
        near = mutate_front(self._space, drawn, seen, derive_seed(self._seed, "neighbour", number))
        return near or self._draw(np.random.default_rng(derive_seed(self._seed, "random", number)), seen)

    def _ask(self, seed: int) -> dict[str, AxisValue]:
        with quiet_optuna():
            self._study.sampler = optuna.samplers.TPESampler(
                multivariate=True, n_startup_trials=STARTUP_TRIALS, constant_liar=False, seed=seed
            )
            trial = self._study.ask(self._distributions)
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return dict(trial.params)

    def _draw(self, rng: np.random.Generator, seen: frozenset[tuple[int, ...]]) -> dict[str, AxisValue] | None:
        """Any unseen point: the sampler insists on what it knows, and its neighbours are scored too."""
        if self._space.size <= MAX_LISTED:
            left = [point for point in self._space.points() if self._space.indices(point) not in seen]
            return left[int(rng.integers(len(left)))] if left else None
        while True:  # far more points than were scored: the first draw is nearly always new
            indices = tuple(int(rng.integers(len(p.values))) for p in self._space.parameters)
            if indices not in seen:
                return self._space.point(indices)
