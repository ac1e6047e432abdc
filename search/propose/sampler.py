"""Optuna samplers by name, and `FrontSampler`: `search.propose.front` for anyone's Optuna study.

Every draw of `FrontSampler` is a function of its seed, the number of the trial and the trials before: a study that
is resumed proposes what an uninterrupted one does.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from hwmodel.errors import ConfigError, check_one_of
from search.propose import SAMPLERS
from search.propose.accuracy_model import Observations
from search.propose.front import FrontProposer
from search.propose.problem import Floats, Layout, Params, Picks, Prior, Problem, logit_error
from search.seeds import derive_seed

#: Attribute of a trial: the images that its accuracy was counted over.
TOTAL = "total"
NSGA2_POPULATION = 20
STARTUP_TRIALS = 10


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


def optuna_sampler(name: str, seed: int) -> BaseSampler:
    """One of Optuna's samplers.

    Args:
        name: of `SAMPLERS`, without `front`.
        seed: of its draws.

    Raises:
        ConfigError: an unknown name.
    """
    check_one_of("sampler", name, SAMPLERS[1:])
    with quiet_optuna():
        if name == "tpe":
            return optuna.samplers.TPESampler(multivariate=True, n_startup_trials=STARTUP_TRIALS, seed=seed)
        if name == "nsga2":
            return optuna.samplers.NSGAIISampler(population_size=NSGA2_POPULATION, seed=seed)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        return optuna.samplers.RandomSampler(seed=seed)


def layout_of(distributions: Mapping[str, BaseDistribution]) -> Layout:
    """One decision per parameter, in the order of the names.

    Raises:
        ConfigError: a parameter has no finite list of values.
    """
    return Layout([[{name: value} for value in _values(name, d)] for name, d in sorted(distributions.items())])


def _values(name: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        count = round((distribution.high - distribution.low) / distribution.step)
        return [distribution.low + n * distribution.step for n in range(count + 1)]
    raise ConfigError(f"{name}: must have a finite list of values, but is {distribution}. Use suggest_categorical.")


class History:
    """Scored candidates as arrays, which grow.

    Args:
        width: decisions.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._rows: list[tuple[int, ...]] = []
        self._scores: list[tuple[float, int]] = []
        self.taken: set[bytes] = set()

    def add(self, row: tuple[int, ...], accuracy: float | None, total: int = 0) -> None:
        """A candidate that was scored; without an accuracy it failed, and is only not proposed again."""
        self.taken.add(np.array(row, dtype=np.int64).tobytes())
        if accuracy is not None:
            self._rows.append(row)
            self._scores.append((accuracy, total))

    def __len__(self) -> int:
        return len(self.taken)

    def observations(self) -> Observations:
        """Those that have an accuracy."""
        accuracy, total = np.array(self._scores, dtype=np.float64).reshape(-1, 2).T
        return Observations(
            picks=np.array(self._rows, dtype=np.int64).reshape(len(self._rows), self._width),
            y=logit_error(accuracy, total),
            variance=counting_variance(accuracy, total),
        )


class FrontSampler(BaseSampler):
    """Proposes what is expected to add most to the front of one measured accuracy and exactly known costs.

    One objective of the study is the accuracy, a share that is maximised; the others are the costs, minimised. Set
    the attribute `total` of a trial to the images that its accuracy was counted over, if it was counted.

        sampler = FrontSampler(costs=lambda params: (energy(params),))
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    Args:
        costs: parameters -> the costs, in the order of the objectives.
        distributions: the space; None is that of the first finished trial, which is then drawn at random.
        rises: per parameter how much the logit of the error rises for each value, most precise last (0), if single
            changes were measured; None guesses that every value from the last to the first costs more.
        accuracy: index of the accuracy among the objectives.
        seed: of all draws.
        at_once: so many proposals are made together, for trials that are asked for before any of them is finished;
            faster than one by one, and as good.
        proposer, layout: of a study of ours, in place of costs and rises.
        history: candidates scored before the first trial of the study.
    """

    def __init__(
        self,
        costs: Callable[[Params], Sequence[float]] | None = None,
        *,
        distributions: Mapping[str, BaseDistribution] | None = None,
        rises: Mapping[str, Sequence[float]] | None = None,
        accuracy: int = 0,
        seed: int = 0,
        at_once: int = 1,
        proposer: FrontProposer | None = None,
        layout: Layout | None = None,
        history: History | None = None,
    ) -> None:
        self._accuracy, self._seed = accuracy, seed
        self._costs, self._rises = costs, rises
        self._distributions = dict(distributions) if distributions is not None else None
        self._layout = layout
        self._proposer = proposer
        self.at_once = at_once
        self._planned: list[tuple[int, ...]] = []
        self._planned_from = -1
        self._proposed: set[tuple[int, ...]] = set()
        self._history = history
        self._known: dict[int, tuple[int, ...] | None] = {}
        self._intersection = optuna.search_space.IntersectionSearchSpace()

    def has_proposed(self, params: Params) -> bool:
        """The parameters are a proposal, no random answer of an exhausted space."""
        row = None if self._layout is None else self._layout.row(params)
        return row in self._proposed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space."""
        if self._distributions is not None:
            return dict(self._distributions)
        found = self._intersection.calculate(study)
        return {name: d for name, d in found.items() if not d.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """All parameters of a trial at once; none where the space is exhausted or not known yet."""
        if not search_space:
            return {}
        proposer, layout = self._ready(search_space, len(study.directions) - 1)
        trials = study.get_trials(deepcopy=False)
        seen, waiting, taken = self._read(trials, trial.number, layout)
        if not self._planned or self._planned_from != len(seen):
            self._planned_from = len(seen)
            before = 0 if self._history is None else len(self._history)
            seed = derive_seed(self._seed, "front", trial.number + before)
            self._planned = proposer.propose(seen, taken, self.at_once, seed, waiting=waiting)
        free = [row for row in self._planned if np.array(row, dtype=np.int64).tobytes() not in taken]
        self._planned = free[1:]
        self._proposed.update(free[:1])
        return layout.params(free[0]) if free else {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter outside the space: at random, by the number of the trial."""
        sampler = optuna.samplers.RandomSampler(seed=derive_seed(self._seed, param_name, trial.number))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _ready(self, search_space: Mapping[str, BaseDistribution], num_costs: int) -> tuple[FrontProposer, Layout]:
        if self._layout is None:
            self._layout = layout_of(search_space)
        if self._proposer is None:
            self._proposer = FrontProposer(self._problem(self._layout, num_costs))
        return self._proposer, self._layout

    def _problem(self, layout: Layout, num_costs: int) -> Problem:
        if self._costs is None:
            raise ConfigError("FrontSampler: costs must be a function of the parameters. Pass costs=.")
        price = self._costs

        def costs(picks: Picks) -> Floats:
            return np.array([list(price(layout.params(row))) for row in picks.tolist()], dtype=np.float64)

        rises = []
        for options in layout.decisions:
            (name,) = options[0]
            given = None if self._rises is None else self._rises.get(name)
            if given is not None and len(given) != len(options):
                raise ConfigError(
                    f"rises: {name!r} must have {len(options)} values, one per option, but got {len(given)}."
                )
            rises.append(_guess(len(options)) if given is None else np.asarray(given, dtype=np.float64)[:, None])
        return Problem(
            prior=Prior(rises=tuple(rises)),
            costs=costs,
            num_costs=num_costs,
            precise=tuple(len(rise) - 1 for rise in rises),
        )

    def _read(
        self, trials: Sequence[FrozenTrial], number: int, layout: Layout
    ) -> tuple[Observations, Picks, set[bytes]]:
        """Finished trials, those under way, and all that are taken."""
        width = len(layout.decisions)
        history = History(width) if self._history is None else self._history
        before, taken, waiting = history.observations(), set(history.taken), []
        own = History(width)
        for trial in trials:
            if trial.number == number:
                continue
            if trial.number not in self._known or trial.state == TrialState.RUNNING:
                self._known[trial.number] = layout.row(trial.params)
            row = self._known[trial.number]
            if row is None:
                continue
            if trial.state == TrialState.RUNNING:
                waiting.append(row)
            is_done = trial.state == TrialState.COMPLETE
            own.add(row, trial.values[self._accuracy] if is_done else None, int(trial.user_attrs.get(TOTAL, 0)))
        found = own.observations()
        return (
            Observations(
                picks=np.concatenate((before.picks, found.picks)),
                y=np.concatenate((before.y, found.y)),
                variance=np.concatenate((before.variance, found.variance)),
            ),
            np.array(waiting, dtype=np.int64).reshape(len(waiting), width),
            taken | own.taken,
        )


def counting_variance(accuracy: Floats, total: Floats) -> Floats:
    """Of the logits of errors counted over `total` images; 0 where they were not counted."""
    right, wrong = accuracy * total + 0.5, total - accuracy * total + 0.5
    return np.where(total > 0, 1.0 / right + 1.0 / wrong, 0.0)


def _guess(num_options: int) -> Floats:
    """Rises where none were measured: each step towards the first option costs three times the one before."""
    steps = 3.0 ** np.arange(num_options - 1)
    rising = np.concatenate((np.cumsum(steps[::-1])[::-1], [0.0]))
    return np.asarray(0.3 * rising / max(rising[0], 1.0))[:, None] if num_options > 1 else np.zeros((1, 1))
