"""What to score next at one fidelity of a study, asked of an Optuna sampler by name.

The Optuna study behind it lives in memory and is made again from the results when a run is opened; every draw is
seeded by the number of the candidate, so a study that was interrupted and resumed proposes what an uninterrupted
one does. Where a sampler asks for what was scored already, or for what is outside the limits (Optuna's do), it is
asked again, then a neighbour of its draws is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Generic, Protocol, TypeVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial, TrialState

from search.front.objective import Direction, Objective
from search.front.results import Result
from search.groups import AxisValue
from search.propose.mutation import Points, mutate_front
from search.propose.problem import Layout
from search.propose.sampler import (
    NSGA2_POPULATION,
    TOTAL,
    FrontSampler,
    History,
    optuna_sampler,
    quiet_optuna,
)
from search.seeds import derive_seed
from search.space import Point, Space
from workloads.compress.config import CompressionConfig

ATTEMPTS = 6
#: Spaces up to this size are listed to find what is left; of larger ones so many random points are drawn.
MAX_LISTED = 20_000

Indices = tuple[int, ...]


def distributions(space: Points) -> dict[str, BaseDistribution]:
    """The parameters as Optuna knows them; values as users write them, so that its dashboard reads well."""
    return {p.name: CategoricalDistribution(p.values) for p in space.parameters}


def point_of(space: Space, result: Result) -> dict[str, AxisValue]:
    """A result's candidate as a point of this space (which may have grown since)."""
    names = {parameter.name: parameter.values for parameter in space.parameters}
    if result.point.keys() == names.keys() and all(value in names[name] for name, value in result.point.items()):
        return dict(result.point)
    return space.point_of(CompressionConfig.from_dict(result.config))


class Asker(Protocol):
    """Asked for points that were not scored yet."""

    def observe(self, results: Sequence[tuple[Point, Result]]) -> None:
        """Learn from results, in the order of the ledger; those of one batch together."""

    def propose(self, count: int, seen: frozenset[Indices]) -> list[dict[str, AxisValue]]:
        """At most `count` points that are not in `seen` (as indices); fewer where the space has no more."""


def _only_point(
    count: int, seen: frozenset[Indices], is_allowed: Callable[[Point], bool]
) -> list[dict[str, AxisValue]]:
    """Of a space without a decision: Optuna has nothing to ask about."""
    return [{}] if count and () not in seen and is_allowed({}) else []


class FrontAsker:
    """Asks `FrontSampler`, in an Optuna study of each batch, with all results as its history.

    Args:
        space: the candidates.
        objectives: of the study.
        layout: of the decisions.
        make: gives the sampler, from a history.
        is_allowed: a point is within all limits.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        layout: Layout,
        make: Callable[[History], FrontSampler],
        *,
        is_allowed: Callable[[Point], bool],
    ) -> None:
        self._space, self._layout, self._make = space, layout, make
        self._is_allowed = is_allowed
        self._directions = [objective.direction for objective in objectives]
        self._distributions = distributions(space)
        self._history = History(len(layout.decisions))

    def observe(self, results: Sequence[tuple[Point, Result]]) -> None:
        for point, result in results:
            row = self._layout.row(point)
            if row is not None:
                self._history.add(row, result.accuracy if result.is_done else None, result.total)

    def propose(self, count: int, seen: frozenset[Indices]) -> list[dict[str, AxisValue]]:
        if not self._distributions:
            return _only_point(count, seen, self._is_allowed)
        sampler = self._make(self._history)
        sampler.at_once = count
        with quiet_optuna():
            study = optuna.create_study(directions=self._directions, sampler=sampler)
            points = [dict(study.ask(self._distributions).params) for _ in range(count)]
        found: list[dict[str, AxisValue]] = []
        taken = set(seen)
        for point in points:  # an exhausted space is answered at random
            indices = self._space.indices(point)
            if indices in taken or not sampler.has_proposed(point):
                break
            taken.add(indices)
            found.append(point)
        return found


class Scored(Protocol):
    """What a sampler is told of a candidate, beside its values."""

    @property
    def is_done(self) -> bool: ...

    @property
    def total(self) -> int: ...


Own = TypeVar("Own", bound=Scored)
Seen_contra = TypeVar("Seen_contra", bound=Scored, contravariant=True)


class Axis(Protocol[Seen_contra]):
    """One objective: which way is better, and its value in what was scored."""

    @property
    def direction(self) -> Direction: ...

    def value(self, result: Seen_contra, /) -> float: ...


class OptunaAsker(Generic[Own]):
    """Asks one of Optuna's samplers, about any space and whatever was scored in it.

    Args:
        space: the candidates.
        objectives: of the study.
        name: of the sampler.
        seed: of the study and the fidelity.
        is_allowed: a point is within all limits.
    """

    def __init__(
        self,
        space: Points,
        objectives: Sequence[Axis[Own]],
        name: str,
        seed: int,
        *,
        is_allowed: Callable[[Point], bool],
    ) -> None:
        self._space, self._objectives = space, tuple(objectives)
        self._name, self._seed = name, seed
        self._is_allowed = is_allowed
        self._distributions = distributions(space)
        self._asked: dict[Indices, optuna.Trial] = {}
        with quiet_optuna():
            self._study = optuna.create_study(directions=[objective.direction for objective in objectives])

    def observe(self, results: Sequence[tuple[Point, Own]]) -> None:
        if not self._distributions:
            return
        with quiet_optuna():
            for point, result in results:
                if self._name == "nsga2":
                    self._tell_generation(point, result)
                else:
                    self._tell(self._asked.pop(self._space.indices(point), None), point, result)

    def propose(self, count: int, seen: frozenset[Indices]) -> list[dict[str, AxisValue]]:
        if not self._distributions:
            return _only_point(count, seen, self._is_allowed)
        self._drop(self._asked.values())
        self._asked.clear()
        taken = set(seen)
        found: list[dict[str, AxisValue]] = []
        rejected: list[optuna.Trial] = []
        while len(found) < count and len(taken) < self._space.size:
            point_or_none = self._next(frozenset(taken), rejected)
            if point_or_none is None:
                break
            found.append(point_or_none)
            taken.add(self._space.indices(point_or_none))
        self._drop(rejected)
        return found

    def _drop(self, trials: Iterable[optuna.Trial]) -> None:
        """Trials that nobody will score."""
        with quiet_optuna():
            for trial in trials:
                self._study.tell(trial, state=TrialState.FAIL)

    # ---- asking --------------------------------------------------------------------------------

    def _next(self, taken: frozenset[Indices], rejected: list[optuna.Trial]) -> dict[str, AxisValue] | None:
        number = len(taken)
        drawn = []
        for attempt in range(ATTEMPTS):
            trial = self._ask(derive_seed(self._seed, "sampler", number, attempt))
            point = dict(trial.params)
            if self._is_free(point, taken):
                self._asked[self._space.indices(point)] = trial
                return point
            rejected.append(trial)
            drawn.append(point)
        near = mutate_front(self._space, drawn, taken, derive_seed(self._seed, "neighbour", number))
        if near is not None and self._is_allowed(near):
            return near
        return self._draw(np.random.default_rng(derive_seed(self._seed, "random", number)), taken)

    def _ask(self, seed: int) -> optuna.Trial:
        with quiet_optuna():
            self._study.sampler = optuna_sampler(self._name, seed)
            return self._study.ask(self._distributions)

    def _is_free(self, point: Point, taken: frozenset[Indices]) -> bool:
        return self._space.indices(point) not in taken and self._is_allowed(point)

    def _draw(self, rng: np.random.Generator, taken: frozenset[Indices]) -> dict[str, AxisValue] | None:
        """Any free point; None where there is none, or (in a space that cannot be listed) none was found."""
        for indices in self._order(rng):
            if indices not in taken:
                point = self._space.point(indices)
                if self._is_allowed(point):
                    return point
        return None

    def _order(self, rng: np.random.Generator) -> Iterator[Indices]:
        sizes = [len(parameter.values) for parameter in self._space.parameters]
        if self._space.size <= MAX_LISTED:
            every = list(product(*map(range, sizes)))
            yield from (every[index] for index in rng.permutation(len(every)))
        else:
            for _ in range(MAX_LISTED):
                yield tuple(int(rng.integers(size)) for size in sizes)

    # ---- telling -------------------------------------------------------------------------------

    def _tell_generation(self, point: Point, result: Own) -> None:
        """Tell NSGA-II, which learns from the trials of a generation and gives one to those that it was asked for.

        Here the generation is that of the trial's turn: it follows from the results, however they came about.
        """
        self._study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING, params=dict(point), distributions=self._distributions
            )
        )
        trial = self._study.get_trials(deepcopy=False)[-1]
        NSGAIISampler(population_size=NSGA2_POPULATION).get_trial_generation(self._study, trial)
        if result.is_done:
            self._study.tell(trial.number, self._values(result))
        else:
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _tell(self, trial: optuna.Trial | None, point: Point, result: Own) -> None:
        if trial is None:
            self._study.add_trial(self._trial(point, result))
        elif result.is_done:
            trial.set_user_attr(TOTAL, result.total)
            self._study.tell(trial, self._values(result))
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _trial(self, point: Point, result: Own) -> FrozenTrial:
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE if result.is_done else TrialState.FAIL,
            params=dict(point),
            distributions=self._distributions,
            values=self._values(result) if result.is_done else None,
            user_attrs={TOTAL: result.total},
        )

    def _values(self, result: Own) -> list[float]:
        return [objective.value(result) for objective in self._objectives]
