"""One run of a study with its folder locked: its stages, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import get_args

from hwmodel.errors import ConfigError
from search.checkpoints import Checkpoints
from search.codesign.front import front_of_study
from search.executors.base import Executor, Job
from search.front.results import COMPANIONS, PROMOTED, Origin, Result, Stage, with_baselines
from search.groups import AxisValue
from search.ledger import Ledger
from search.mirror.local import OptunaMirror
from search.observer import Observer
from search.propose.asking import Asker, FrontAsker, OptunaAsker, point_of
from search.propose.assembling import StudyProblem
from search.propose.measuring import measured
from search.propose.posterior import beliefs_of
from search.propose.pricing import Pricer
from search.propose.scores import FILE, ScoreCache
from search.propose.sensitivity import Sensitivity
from search.rungs.fidelities import FULL, write_rungs
from search.rungs.jobs import JobMaker, Proposal
from search.rungs.plan import RungPlan
from search.rungs.setup import StudySetup
from search.scoring import Outcome, accuracy_fields
from search.seeds import derive_seed
from search.space import Point
from workloads.compress.config import CompressionConfig

#: Of the first fidelity, where there is a second.
PTQ_BATCH = 16
NO_WEIGHTS: Mapping[str, str] = {}


class Runner:
    """Scores candidates and commits them: to the ledger first, then to Optuna.

    What comes next depends only on the setup, on the width of the executor and on the ledger, so a run that was
    killed goes on as if nothing had happened.

    Args:
        setup: of the study.
        pricer: of its graph and accelerator.
        ledger: of its folder, locked.
        mirror: of its folder.
        observer: is told what happens.
        executor: scores candidates.
    """

    def __init__(
        self,
        setup: StudySetup,
        pricer: Pricer,
        ledger: Ledger,
        mirror: OptunaMirror,
        observer: Observer,
        executor: Executor,
    ) -> None:
        self._setup = setup
        self._pricer = pricer
        self._ledger = ledger
        self._mirror = mirror
        self._observer = observer
        self._executor = executor
        self._points: dict[int, dict[str, AxisValue]] = {}
        self._seen: dict[Stage, set[tuple[int, ...]]] = {stage: set() for stage in get_args(Stage)}
        self._cache = ScoreCache(setup.folder / FILE)
        self._checkpoints = Checkpoints(folder=setup.folder, save=setup.save, keeps_all=not executor.is_exact)
        self._maker = JobMaker(setup, pricer, lambda: self._problem, lambda: self._sensitivity)
        mirror.sync(ledger.results)
        for result in ledger:
            self._remember(result)

    # ---- the two stages ------------------------------------------------------------------------

    def run_ptq(self, trials: int, candidates: Sequence[Point] = ()) -> None:
        """Score candidates without training until `trials` are in the ledger or the space is exhausted."""
        if len(self._trials) < trials and self._setup.sampler == "front":
            _ = self._problem
        self._observer.stage_started("ptq", min(len(self._trials), trials), trials)
        uniform = self._setup.space.uniform_points()
        queue = [Proposal(point=dict(point), origin="user") for point in candidates]
        queue += [Proposal(point=point, origin="uniform") for point in uniform]
        self._run("ptq", trials, queue, lambda: self._trials)

    def run_qat(self, count: int, candidates: Sequence[Point] = (), uniform: Sequence[Point] = ()) -> None:
        """Finetune the candidates given, the uniform ones, then those of the sampler, until `count` are there."""
        if len(self._finetuned) < count and self._setup.sampler == "front":
            _ = self._problem
        self._observer.stage_started("qat", min(len(self._finetuned), count), count)
        self._checkpoints.keep(self._ledger.stage("qat"), self._kept())  # a killed run may have left some
        self._restore_checkpoints()
        queue = [Proposal(point=dict(point), origin="user") for point in candidates]
        queue += [Proposal(point=dict(point), origin="uniform") for point in uniform]
        self._run("qat", count, queue, lambda: self._finetuned)
        self._restore_checkpoints()
        if self._setup.fidelities.rungs:
            reports = self._plan.reports(self._finetunings())
            write_rungs(self._setup.folder, reports)
            for report in reports:
                self._observer.message(report.text)

    @property
    def _trials(self) -> tuple[Result, ...]:
        """PTQ results that count as trials: those that belong to a QAT run do not."""
        return tuple(r for r in self._ledger.stage("ptq") if r.origin not in COMPANIONS)

    @property
    def _finetuned(self) -> tuple[Result, ...]:
        """Full runs, those that were ended early among them."""
        return tuple(result for result in self._ledger if result.stage == "qat" or result.is_stopped)

    def _finetunings(self) -> list[tuple[Point, Result]]:
        """All runs at any share, in the order of the ledger."""
        return [(self._points[result.number], result) for result in self._ledger if result.stage != "ptq"]

    def _run(
        self, stage: Stage, count: int, queue: Iterable[Proposal], counted: Callable[[], tuple[Result, ...]]
    ) -> None:
        """Batches of proposals until `count` results of the stage are there."""
        if len(counted()) >= count:
            return
        batches = self._batches(stage, queue, counted)
        while len(counted()) < count:
            batch = next(batches, None)
            if batch is None:
                self._say_exhausted(stage, len(counted()), count)
                return
            is_short = batch[0].share < FULL
            self._score(stage, batch if is_short else batch[: count - len(counted())], count, counted)

    def _batches(
        self, stage: Stage, queue: Iterable[Proposal], counted: Callable[[], tuple[Result, ...]]
    ) -> Iterator[list[Proposal]]:
        """What to score next: the queue, then what the sampler proposes, `width` at once.

        The batches of the sampler begin at multiples of the width, so one that was interrupted is proposed again
        from what was known when it began.
        """
        width = self._width(stage)
        given = list(queue)
        waiting = [item for item in given if self._is_open(item.point)]
        asked: tuple[Origin, ...] = ("user", "uniform") if stage == "qat" else ("user",)
        self._say_outside(given, waiting, asked)
        while waiting:
            waiting = [item for item in waiting if self._setup.space.indices(item.point) not in self._seen[stage]]
            if waiting:
                yield waiting[:width]
        if stage == "qat" and self._setup.fidelities.rungs:
            yield from self._rung_batches()
        asker = self._asker(stage)
        told = 0
        while True:
            results = counted()
            proposed = [n for n, result in enumerate(results) if result.origin == "sampler"]
            begun = len(proposed) % width
            fresh: list[dict[str, AxisValue]] = []
            # the batch that was begun; where that was finished, with a width of its own, the next one
            for known in [*([proposed[-begun]] if begun else []), len(results)]:
                asker.observe([(self._points[result.number], _as_told(result)) for result in results[told:known]])
                told = known
                points = asker.propose(width, frozenset(self._space_indices(results[:known])))
                fresh = [point for point in points if self._setup.space.indices(point) not in self._seen[stage]]
                if fresh:
                    break
            if not fresh:
                return
            number = results[told - 1].number + 1 if told else 0
            yield [Proposal(point=point, origin="sampler", known=number) for point in fresh]

    def _say_outside(
        self, given: Sequence[Proposal], waiting: Sequence[Proposal], asked: tuple[Origin, ...]
    ) -> None:
        """Candidates given by hand that are not scored."""
        count = sum(item.origin in asked for item in given) - sum(item.origin in asked for item in waiting)
        if count:
            limits = ", ".join(str(limit) for limit in self._setup.limits.costs)
            self._observer.message(
                f"{count} of the candidates given are outside the limits and not scored: {limits}."
            )

    def _rung_batches(self) -> Iterator[list[Proposal]]:
        """What the plan of the rungs asks for, until it has no more."""
        while (batch := self._plan.next(self._finetunings())) is not None:
            known = self._finetunings()[: batch.known]
            number = known[-1][1].number + 1 if known else 0
            origin: Origin = PROMOTED if batch.share == FULL else "sampler"
            yield [Proposal(point=point, origin=origin, share=batch.share, known=number) for point in batch.points]

    def _width(self, stage: Stage) -> int:
        """Candidates of a batch; those scored without training are many and cheap, and need not wait for others."""
        if stage == "ptq" and self._setup.evaluator.has_fidelities and self._setup.sampler == "front":
            return PTQ_BATCH * self._executor.width
        return self._executor.width

    def _space_indices(self, results: Sequence[Result]) -> Iterator[tuple[int, ...]]:
        return (self._setup.space.indices(self._points[result.number]) for result in results)

    def _score(
        self, stage: Stage, batch: Sequence[Proposal], total: int, counted: Callable[[], tuple[Result, ...]]
    ) -> None:
        """One batch: scored, and committed in its order."""
        if stage == "qat" and self._setup.evaluator.has_fidelities:
            self._score_companions([item for item in batch if item.share == FULL])
        trained = self._trained() if any(item.share < FULL for item in batch) else ()
        full, number = self._ledger.stage("qat"), len(self._ledger)
        jobs = [self._maker.job(number + n, stage, item, trained, full) for n, item in enumerate(batch)]
        for item, (job, outcome) in zip(batch, self._outcomes(jobs), strict=True):
            is_whole = job.stage == "qat" and outcome.share == FULL
            weights = (
                self._checkpoints.write(len(self._ledger), job.config.key, outcome) if is_whole else NO_WEIGHTS
            )
            result = self._result(job, item, outcome, weights)
            self._commit(result)
            front = self._front(stage)
            if stage == "qat":
                self._checkpoints.keep(self._ledger.stage("qat"), self._kept(front))
            self._observer.candidate_done(result, len(counted()), total, front)

    def _trained(self) -> tuple[Result, ...]:
        """Candidates whose weights short runs may start from: those of the front, which are there."""
        if not self._setup.fidelities.warm:
            return ()
        self._restore_checkpoints()
        return tuple(result for result in self._front("qat") if result.checkpoint)

    def _score_companions(self, batch: Sequence[Proposal]) -> None:
        """What each candidate scores without training, beside its QAT run."""
        missing = [p for p in batch if self._setup.space.indices(p.point) not in self._seen["ptq"]]
        configs = [self._setup.space.config(item.point) for item in missing]
        jobs = [Job(number=len(self._ledger) + n, stage="ptq", config=config) for n, config in enumerate(configs)]
        for item, (job, outcome) in zip(missing, self._outcomes(jobs), strict=True):
            self._commit(self._result(job, Proposal(point=item.point, origin="companion"), outcome))

    def _outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Of the executor, or of the cache of single changes."""
        known = {job.number: self._cache.whole(job.config.key) for job in jobs if job.stage == "ptq"}
        fresh = self._executor.run([job for job in jobs if known.get(job.number) is None], self._observer)
        for job in jobs:
            outcome = known.get(job.number)
            yield (job, outcome) if outcome is not None else next(fresh)

    def _say_exhausted(self, stage: Stage, done: int, count: int) -> None:
        size = self._setup.space.size
        what, unit = ("scored", "trials") if stage == "ptq" else ("finetuned", "runs")
        if len(self._seen[stage]) >= size:
            text = f"All {size} configurations of the space are {what}"
        else:
            text = f"No further candidate of the {size} within the limits was found"
        self._observer.message(f"{text}: {done} of {count} {unit}.")

    # ---- proposals -----------------------------------------------------------------------------

    def _asker(self, stage: Stage) -> Asker:
        setup = self._setup
        seed = derive_seed(setup.seed, stage)
        if setup.sampler != "front":
            return OptunaAsker(setup.space, setup.objectives, setup.sampler, seed, is_allowed=self._is_open)
        return FrontAsker(
            setup.space,
            setup.objectives,
            self._problem.layout,
            lambda history: self._problem.sampler(stage, seed, history),
            is_allowed=self._is_open,
        )

    @cached_property
    def _problem(self) -> StudyProblem:
        return StudyProblem(
            self._setup.space, self._setup.objectives, self._setup.limits, self._pricer, self._sensitivity
        )

    @cached_property
    def _plan(self) -> RungPlan:
        seed = derive_seed(self._setup.seed, "qat")
        return RungPlan(self._problem, self._setup.fidelities, self._executor.width, seed)

    @cached_property
    def _sensitivity(self) -> Sensitivity | None:
        """Rises of single changes, measured once; None where the study goes without."""
        if not self._setup.use_sensitivity or self._setup.sampler != "front":
            return None
        num_images = self._setup.evaluator.num_images if self._setup.subsets else 0
        return measured(
            self._setup.space, self._executor, self._cache, self._observer, num_images, number=len(self._ledger)
        )

    def _is_open(self, point: Point) -> bool:
        """A point is within all limits."""
        if not self._setup.limits.costs:
            return True
        return not self._setup.limits.outside(self._pricer.costs(self._setup.space.config(point)))

    # ---- weights -------------------------------------------------------------------------------

    def _restore_checkpoints(self) -> None:
        """Finetune again what the front and the baselines have lost the weights of.

        Raises:
            ConfigError: the same seed gives other weights here.
        """
        for result in self._kept():
            wrong = self._checkpoints.wrong(result) if result.checkpoint else ""
            if not wrong:
                continue
            self._observer.message(f"{wrong}: candidate {result.number} is finetuned again.")
            config = CompressionConfig.from_dict(result.config)
            job = Job(number=result.number, stage="qat", config=config, seed=result.seed)
            for _, outcome in self._executor.run([job], self._observer):
                written = self._checkpoints.write(result.number, result.key, outcome)
                if written.get("checkpoint_hash", "") != result.checkpoint_hash:
                    raise ConfigError(
                        f"{self._setup.folder}: {wrong}, and finetuning candidate {result.number} again gives "
                        "other weights on this machine. Restore the file, or choose a new name."
                    )

    def _kept(self, front: Sequence[Result] | None = None) -> tuple[Result, ...]:
        """Whose weights stay: those of the front, and of the uniform ones, which are tested beside it."""
        first = self._front("qat") if front is None else front
        return with_baselines(first, self._ledger.results)

    # ---- results -------------------------------------------------------------------------------

    def _front(self, stage: Stage) -> tuple[Result, ...]:
        results = self._ledger.stage(stage)
        if self._setup.sampler != "front" or stage == "ptq" or not results:
            return front_of_study(self._pricer, results, self._setup.objectives, {})
        beliefs = beliefs_of(self._setup.space, self._sensitivity, results, self._setup.objectives)
        return front_of_study(self._pricer, results, self._setup.objectives, beliefs)

    def _result(
        self, job: Job, item: Proposal, outcome: Outcome, weights: Mapping[str, str] = NO_WEIGHTS
    ) -> Result:
        is_stopped = outcome.share < FULL
        return Result(
            number=len(self._ledger),
            stage="short" if is_stopped else job.stage,
            point=dict(item.point),
            config=job.config.to_dict(),
            key=job.config.key,
            status="failed" if outcome.accuracy is None else "done",
            error=outcome.error,
            **accuracy_fields(outcome.accuracy),
            seed=job.seed,
            costs=self._pricer.costs(job.config),
            wall_s=outcome.wall_s,
            checkpoint=weights.get("checkpoint", ""),
            checkpoint_hash=weights.get("checkpoint_hash", ""),
            origin=item.origin,
            share=outcome.share if is_stopped else job.ways.share,
            curve=dict(outcome.curve),
        )

    def _commit(self, result: Result) -> None:
        self._ledger.append(result)
        self._mirror.add(result)
        self._remember(result)

    def _remember(self, result: Result) -> None:
        self._points[result.number] = point_of(self._setup.space, result)
        stage: Stage = "qat" if result.is_stopped else result.stage
        self._seen[stage].add(self._setup.space.indices(self._points[result.number]))


def _as_told(result: Result) -> Result:
    """As a sampler hears of it: of a run that was ended early, that it is over, not how far it came."""
    return replace(result, status="failed") if result.is_stopped else result
