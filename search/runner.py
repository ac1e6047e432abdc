"""One run of a study with its folder locked: the two stages, candidate by candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwmodel.errors import ConfigError
from search.checkpoints import Checkpoints, Save
from search.front.objective import Objective
from search.front.pareto import pareto_front
from search.front.results import Origin, Result, Stage
from search.groups import AxisValue
from search.ledger import Ledger
from search.mirror import OptunaMirror
from search.observer import Observer
from search.propose.mutation import mutate_front
from search.propose.pricing import Pricer
from search.propose.promotion import promote
from search.propose.proposer import Proposer, point_of
from search.propose.sensitivity import FILE, ScoreCache, Sensitivity, knapsack_points, measure_sensitivity
from search.scoring import Evaluator, Outcome, accuracy_fields
from search.seeds import derive_seed
from search.space import Point, Space
from workloads.compress.config import CompressionConfig

#: One in so many of the QAT runs goes to neighbours of the QAT front.
MUTATION_SHARE = 3
NO_WEIGHTS: Mapping[str, str] = {}
#: Knapsack candidates; a fixed number, so that raising `trials` later changes nothing before.
NUM_KNAPSACK = 16


@dataclass(frozen=True, kw_only=True)
class StudySetup:
    """What a study was made with: everything that its results depend on, and where they go.

    Attributes:
        folder: of the run.
        name: of the study.
        space: the candidates.
        objectives: accuracy among them.
        seed: of every proposal and every finetuning.
        evaluator: gives the accuracies.
        use_sensitivity: measure single changes first.
        save: writes a finetuned model; None writes `.safetensors`.
        fuse: costs are of fused layers, as in `hwmodel.evaluate`.
    """

    folder: Path
    name: str
    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    evaluator: Evaluator
    use_sensitivity: bool
    save: Save | None
    fuse: bool = True


class Runner:
    """Scores candidates and commits them: to the ledger first, then to Optuna.

    What comes next depends only on the setup and on the ledger, so a run that was killed goes on as if
    nothing had happened.

    Args:
        setup: of the study.
        pricer: of its graph and accelerator.
        ledger: of its folder, locked.
        mirror: of its folder.
        observer: is told what happens.
    """

    def __init__(
        self, setup: StudySetup, pricer: Pricer, ledger: Ledger, mirror: OptunaMirror, observer: Observer
    ) -> None:
        self._setup = setup
        self._pricer = pricer
        self._ledger = ledger
        self._mirror = mirror
        self._observer = observer
        self._proposer = Proposer(setup.space, setup.objectives, setup.seed)
        self._seen: dict[Stage, set[tuple[int, ...]]] = {"ptq": set(), "qat": set()}
        self._cache = ScoreCache(setup.folder / FILE)
        self._checkpoints = Checkpoints(folder=setup.folder, objectives=setup.objectives, save=setup.save)
        self._sensitivity: Sensitivity | None = None
        mirror.sync(ledger.results)
        for result in ledger:
            self._remember(result)

    # ---- first stage ---------------------------------------------------------------------------

    def run_ptq(self, trials: int, candidates: Sequence[Point] = ()) -> None:
        """Score candidates without training until `trials` are in the ledger or the space is exhausted."""
        space = self._setup.space
        if self._num_proposed < trials:
            self._measured_sensitivity()
        self._observer.stage_started("ptq", min(self._num_proposed, trials), trials)
        queue = self._first_points(candidates) if self._num_proposed < trials else iter(())
        while self._num_proposed < trials:
            origin, point = next(
                (item for item in queue if space.indices(item[1]) not in self._seen["ptq"]), (None, None)
            )
            if origin is None or point is None:
                origin = "sampler"
                point = self._proposer.propose(len(self._ledger.stage("ptq")), frozenset(self._seen["ptq"]))
            if point is None:
                self._observer.message(
                    f"All {space.size} configurations of the space are scored: "
                    f"{self._num_proposed} of {trials} trials."
                )
                return
            self._score_ptq(point, origin, trials)

    @property
    def _num_proposed(self) -> int:
        """PTQ results that count as trials: those that belong to a QAT proposal do not."""
        return sum(result.origin != "mutation" for result in self._ledger.stage("ptq"))

    def _first_points(self, candidates: Sequence[Point]) -> Iterator[tuple[Origin, Point]]:
        """The user's candidates, the uniform ones, and those of the knapsack; made when they are needed."""
        for point in candidates:
            yield "user", point
        for point in self._setup.space.uniform_points():
            yield "uniform", point
        sensitivity = self._measured_sensitivity()
        if sensitivity is not None:
            costs = [objective for objective in self._setup.objectives if objective.key]
            for point in knapsack_points(self._setup.space, sensitivity, self._pricer, costs, NUM_KNAPSACK):
                yield "sensitivity", point

    def _measured_sensitivity(self) -> Sensitivity | None:
        """Accuracy drops of single changes, measured once; None where the study goes without."""
        if self._sensitivity is None and self._setup.use_sensitivity:
            space = self._setup.space
            total = 1 + sum(len(parameter.values) - 1 for parameter in space.parameters)
            self._observer.stage_started("sensitivity", 0, total)
            self._sensitivity = measure_sensitivity(
                space,
                lambda config: self._setup.evaluator.ptq(config, self._observer),
                self._cache,
                lambda done, of: self._observer.step("sensitivity", done, of),
            )
        return self._sensitivity

    def _score_ptq(self, point: Point, origin: Origin, total: int) -> Result:
        config = self._setup.space.config(point)
        outcome = self._cache.get(config.key)
        if outcome is None:
            outcome = self._setup.evaluator.ptq(config, self._observer)
        result = self._result("ptq", point, config, outcome, origin)
        self._commit(result)
        if origin != "mutation":
            self._observer.candidate_done(result, self._num_proposed, total, self._front("ptq"))
        return result

    # ---- second stage --------------------------------------------------------------------------

    def run_qat(self, count: int) -> None:
        """Finetune promoted candidates, then neighbours of the front, until `count` are in the ledger."""
        if len(self._ledger.stage("qat")) < count:
            self._measured_sensitivity()
        self._observer.stage_started("qat", min(len(self._ledger.stage("qat")), count), count)
        self._checkpoints.drop_dominated(self._ledger.stage("qat"))  # a killed run may have left some
        self._restore_checkpoints()
        if len(self._ledger.stage("qat")) >= count:
            return
        for result in self._promoted(count - count // MUTATION_SHARE):
            if len(self._ledger.stage("qat")) < count:
                self._score_qat(result.point, "promoted", count)
        while len(self._ledger.stage("qat")) < count:
            if not self._explore_front(count):
                self._observer.message(
                    f"No further candidate is worth finetuning: {len(self._ledger.stage('qat'))} of {count} runs."
                )
                return

    def _promoted(self, count: int) -> list[Result]:
        """The PTQ results that earn a place and have no QAT result yet."""
        proposed = [result for result in self._ledger.stage("ptq") if result.origin != "mutation"]
        sensitivity = self._measured_sensitivity()

        def predicted(result: Result) -> float:
            return 0.0 if sensitivity is None else sensitivity.predicted_drop(point_of(self._setup.space, result))

        done = {result.key for result in self._ledger.stage("qat")}
        chosen = promote(proposed, self._setup.objectives, count, predicted)
        return [result for result in chosen if result.key not in done]

    def _explore_front(self, total: int) -> bool:
        """Finetune one neighbour of the front; where it has none left, the next PTQ candidate. False: nothing."""
        space = self._setup.space
        number = len(self._ledger.stage("qat"))
        parents = [point_of(space, result) for result in self._front("qat") or self._front("ptq")]
        failed = {space.indices(point_of(space, r)) for r in self._ledger.stage("ptq") if not r.is_done}
        point = mutate_front(
            space,
            parents,
            frozenset(self._seen["qat"] | failed),
            derive_seed(self._setup.seed, "mutation", number),
        )
        if point is None:
            left = self._promoted(len(self._ledger.stage("ptq")))
            if left:
                self._score_qat(left[0].point, "promoted", total)
            return bool(left)
        if space.indices(point) not in self._seen["ptq"] and not self._score_ptq(point, "mutation", 0).is_done:
            return True  # it cannot be scored at all: on to the next
        self._score_qat(point, "mutation", total)
        return True

    def _score_qat(self, point: Point, origin: Origin, total: int) -> None:
        config = self._setup.space.config(self._complete(point))
        seed = derive_seed(self._setup.seed, "qat", config.key)
        outcome = self._setup.evaluator.qat(config, seed, self._observer)
        weights = self._checkpoints.write(len(self._ledger), config.key, outcome)
        result = self._result("qat", self._complete(point), config, outcome, origin, seed=seed, weights=weights)
        self._commit(result)
        self._checkpoints.drop_dominated(self._ledger.stage("qat"))
        self._observer.candidate_done(result, len(self._ledger.stage("qat")), total, self._front("qat"))

    def _complete(self, point: Point) -> dict[str, AxisValue]:
        """A point scored before the space grew, with the parameters that it has now."""
        return {p.name: point.get(p.name, p.values[-1]) for p in self._setup.space.parameters}

    def _restore_checkpoints(self) -> None:
        """Finetune again what the front has lost the weights of.

        Raises:
            ConfigError: the same seed gives other weights here.
        """
        for result in self._checkpoints.front(self._ledger.stage("qat")):
            wrong = self._checkpoints.wrong(result)
            if not wrong:
                continue
            self._observer.message(f"{wrong}: candidate {result.number} is finetuned again.")
            config = CompressionConfig.from_dict(result.config)
            outcome = self._setup.evaluator.qat(config, result.seed, self._observer)
            written = self._checkpoints.write(result.number, result.key, outcome)
            if written.get("checkpoint_hash", "") != result.checkpoint_hash:
                raise ConfigError(
                    f"{self._setup.folder}: {wrong}, and finetuning candidate {result.number} again gives other "
                    "weights on this machine. Restore the file, or choose a new name."
                )

    # ---- both ----------------------------------------------------------------------------------

    def _front(self, stage: Stage) -> tuple[Result, ...]:
        return pareto_front(self._ledger.stage(stage), self._setup.objectives, unique=True)

    def _result(
        self,
        stage: Stage,
        point: Point,
        config: CompressionConfig,
        outcome: Outcome,
        origin: Origin,
        *,
        seed: int = 0,
        weights: Mapping[str, str] = NO_WEIGHTS,
    ) -> Result:
        return Result(
            number=len(self._ledger),
            stage=stage,
            point=dict(point),
            config=config.to_dict(),
            key=config.key,
            status="failed" if outcome.accuracy is None else "done",
            error=outcome.error,
            **accuracy_fields(outcome.accuracy),
            seed=seed,
            costs=self._pricer.costs(config),
            wall_s=outcome.wall_s,
            checkpoint=weights.get("checkpoint", ""),
            checkpoint_hash=weights.get("checkpoint_hash", ""),
            origin=origin,
        )

    def _commit(self, result: Result) -> None:
        self._ledger.append(result)
        self._mirror.add(result)
        self._remember(result)

    def _remember(self, result: Result) -> None:
        self._seen[result.stage].add(self._setup.space.indices(point_of(self._setup.space, result)))
        if result.stage == "ptq":
            self._proposer.observe(result)
