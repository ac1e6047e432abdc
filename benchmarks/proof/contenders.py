"""Who searches: the samplers of `Study`, and two integer programs that learn nothing from the runs.

All go through `Study.create_or_resume` and score the same draws. The programs are candidates given to a study of
random points: what one could do with `search.propose.program` and the sensitivities alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.proof.tables import Draw, Table
from search import Study
from search.executors.inprocess import InProcess
from search.front.limits import Limits
from search.front.objective import Objective
from search.front.pareto import hypervolume
from search.front.results import Result
from search.observer import Observer
from search.propose.acquisition import Front
from search.propose.assembling import StudyProblem
from search.propose.measuring import measured
from search.propose.pricing import Pricer
from search.propose.pricing import Table as Prices
from search.propose.problem import Floats, Picks, Problem, accuracy_of, unique_rows
from search.propose.program import hull_path, sweep
from search.propose.scores import FILE, ScoreCache
from search.scoring import Evaluator

EVEN, PREDICTED = "program, evenly", "program, predicted"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to search.

    Attributes:
        name: of the row.
        sampler: of the study.
        runs: finetunings at most: the slow ones get fewer.
        choose: (problem, runs) -> the candidates to run, most precise first; None leaves it to the sampler.
        is_nested: the choice for fewer runs is the beginning of that for more.
    """

    name: str
    sampler: str
    runs: int
    choose: Callable[[Problem, int], Picks] | None = None
    is_nested: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """A table and a cost: the accuracy is always the other objective.

    Attributes:
        table: all scores.
        objective: name of the cost.
        prices: of an accelerator; None where the cost needs none.
        costs: (candidates,) of every row of the table.
    """

    table: Table
    objective: str
    prices: Prices | None
    costs: Floats

    @classmethod
    def of(cls, table: Table, objective: Objective, prices: Prices | None) -> Setting:
        """With the costs of every candidate."""
        pricer = Pricer(table.graph, prices)
        costs = np.array([pricer.costs(config)[objective.key] for config in table.configs])
        return cls(table=table, objective=objective.name, prices=prices, costs=costs)

    @property
    def name(self) -> str:
        return f"{self.table.name}, {self.objective}"

    def share(self, rows: Sequence[int]) -> float:
        """Of the hypervolume of the exact front, in [0, 1]: that of these candidates at their mean accuracies.

        The reference point is the accuracy of guessing and the cost of the most precise candidate.
        """
        losses = np.column_stack([self.costs, -self.table.truth])
        corner = [self.costs[-1], -float(self.table.facts["chance"])]
        return hypervolume(losses[list(rows)], corner) / hypervolume(losses, corner)


@dataclass(kw_only=True, eq=False)
class Course(Observer):
    """What a search has reached after each run.

    Attributes:
        setting: of the search.
        evaluate: its draw.
        shares: of the hypervolume of the exact front, by the returned front after 1, 2, ... runs.
        overheads: processor time of the search itself until then [s].
        seconds: that, and the processor time of its scores where they are not looked up [s].
    """

    setting: Setting
    evaluate: Draw
    shares: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    _spent: float = 0.0
    _resumed: float = field(default_factory=time.process_time)

    def candidate_done(self, result: Result, done: int, total: int, front: tuple[Result, ...]) -> None:
        self._spent += time.process_time() - self._resumed
        index = self.setting.table.index
        self.shares.append(self.setting.share([index[member.key] for member in front]))
        facts, calls = self.setting.table.facts, self.evaluate.calls
        scores = calls["ptq"] * float(facts["ptq_seconds"]) + calls["qat"] * float(facts["qat_seconds"])
        self.overheads.append(self._spent)
        self.seconds.append(self._spent + scores)
        self._resumed = time.process_time()


def run_search(setting: Setting, contender: Contender, runs: int, repeat: int, folder: Path) -> Course:
    """One search of `runs` finetunings; the repetition decides the draw and the seed of the study.

    Args:
        setting: what is searched.
        contender: who searches.
        runs: finetunings.
        repeat: number of the repetition.
        folder: a new one, for the study.
    """
    table = setting.table
    evaluate = table.seen_by(np.random.default_rng(repeat))
    course = Course(setting=setting, evaluate=evaluate)
    study = Study.create_or_resume(
        folder,
        graph=table.graph,
        space=table.space,
        evaluate=evaluate,
        objectives=["accuracy", setting.objective],
        table=setting.prices,
        seed=repeat,
        sampler=contender.sampler,
    )
    points = []
    if contender.choose is not None:
        assembled, problem = _problem(study, evaluate)
        points = [assembled.layout.params(row) for row in contender.choose(problem, runs).tolist()]
    study.run(qat=runs, candidates=points, progress=course)
    return course


def _problem(study: Study, evaluate: Draw) -> tuple[StudyProblem, Problem]:
    """What the sampler `front` would see before its first run."""
    hands = InProcess(Evaluator(evaluate))
    sensitivity = measured(study.space, hands, ScoreCache(study.folder / FILE), Observer(), 0, number=0)
    assembled = StudyProblem(study.space, study.objectives, Limits(), study.pricer(), sensitivity)
    return assembled, assembled.problem("qat")


def program_optima(problem: Problem) -> Picks:
    """Optima of the integer program over the measured rises at all budgets, cheapest first, priced exactly."""
    top = np.array(problem.precise, dtype=np.int64)
    rises = [rise.sum(axis=1) for rise in problem.prior.rises]
    costs = []
    for column, size in enumerate(problem.sizes):
        changed = np.repeat(top[None], size, axis=0)
        changed[:, column] = np.arange(size)
        costs.append(problem.costs(changed)[:, 0])
    picks = unique_rows(np.concatenate((hull_path(rises, costs), sweep(rises, costs))), len(top))
    return picks[np.argsort(problem.costs(picks)[:, 0], kind="stable")]


def spread_evenly(problem: Problem, runs: int) -> Picks:
    """So many optima of the program, from the most precise to the cheapest, at even distances along its front."""
    optima = program_optima(problem)[::-1]
    return optima[np.unique(np.linspace(0, len(optima) - 1, runs).round().astype(int))]


def spread_by_hypervolume(problem: Problem, runs: int) -> Picks:
    """The most precise candidate, then always the optimum of the program that adds most predicted hypervolume."""
    optima = program_optima(problem)
    costs = problem.costs(optima)[:, :1]
    totals = problem.prior.totals(optima).sum(axis=1)
    logits = (problem.prior.reference or 0.0) + problem.prior.slope * totals
    chosen = [int(np.argmax(costs[:, 0]))]
    while len(chosen) < min(runs, len(optima)):
        front = Front(
            costs=costs[chosen],
            accuracy=accuracy_of(logits[chosen]),
            ideal=costs.min(axis=0),
            reference=costs.max(axis=0),
            floor=problem.floor,
        )
        gains = front.improvement(costs, logits)
        gains[chosen] = -1.0
        chosen.append(int(np.argmax(gains)))
    return optima[chosen]


CONTENDERS = (
    Contender(name="front", sampler="front", runs=40),
    Contender(name=PREDICTED, sampler="random", runs=40, choose=spread_by_hypervolume),
    Contender(name=EVEN, sampler="random", runs=40, choose=spread_evenly, is_nested=False),
    Contender(name="tpe", sampler="tpe", runs=200),
    Contender(name="nsga2", sampler="nsga2", runs=200),
    Contender(name="gp", sampler="gp", runs=40),
    Contender(name="random", sampler="random", runs=200),
)
