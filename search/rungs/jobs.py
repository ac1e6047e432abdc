"""From a proposal to the job of an executor: in full, in part, from which weights, and how it is watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.evaluating import ORDINARY, Watch, Ways
from search.executors.base import Job
from search.front.results import Origin, Result, Stage
from search.groups import AxisValue
from search.guard.seal import inside
from search.propose.assembling import StudyProblem
from search.propose.posterior import beliefs_of
from search.propose.pricing import Pricer
from search.propose.sensitivity import Sensitivity
from search.rungs.fidelities import FULL
from search.rungs.setup import StudySetup
from search.rungs.starts import nearest
from search.rungs.stops import watch_of
from search.seeds import derive_seed
from workloads.compress.config import CompressionConfig
from workloads.storage.weights import CarriedState


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A candidate to score.

    Attributes:
        point: itself.
        origin: who proposed it.
        share: of the epochs of a full run.
        known: number of the first result that was not known when it was chosen.
    """

    point: dict[str, AxisValue]
    origin: Origin
    share: float = FULL
    known: int = 0


class JobMaker:
    """Makes the jobs of a study.

    Args:
        setup: of the study.
        pricer: of its costs.
        problem: gives what its proposer sees.
        sensitivity: gives its single changes; None where it goes without.
    """

    def __init__(
        self,
        setup: StudySetup,
        pricer: Pricer,
        problem: Callable[[], StudyProblem],
        sensitivity: Callable[[], Sensitivity | None],
    ) -> None:
        self._setup, self._pricer = setup, pricer
        self._problem, self._sensitivity = problem, sensitivity

    def job(
        self, number: int, stage: Stage, item: Proposal, trained: Sequence[Result], full: Sequence[Result]
    ) -> Job:
        """How a candidate is scored.

        Args:
            number: of its result, for messages.
            stage: `ptq` or `qat`.
            item: the candidate.
            trained: results whose weights short runs may start from.
            full: full runs so far.
        """
        config = self._setup.space.config(item.point)
        if stage == "ptq":
            return Job(number=number, stage=stage, config=config)
        seed = derive_seed(self._setup.seed, "qat", config.key)
        if item.share < FULL:
            near = nearest(self._problem(), item.point, trained) if trained else None
            start = None if near is None else CarriedState(inside(self._setup.folder, near.checkpoint).read_bytes())
            ways = Ways(share=item.share, start=start)
            return Job(
                number=number, stage="short" if near is None else "warm", config=config, seed=seed, ways=ways
            )
        ways = ORDINARY
        if self._setup.fidelities.stop_at:
            ways = Ways(watch=self._watch(config, [result for result in full if result.number < item.known]))
        return Job(number=number, stage=stage, config=config, seed=seed, ways=ways)

    def _watch(self, config: CompressionConfig, full: Sequence[Result]) -> Watch:
        objectives, accuracies = self._setup.objectives, dict[int, float]()
        if self._setup.sampler == "front":
            believed = beliefs_of(self._setup.space, self._sensitivity(), full, objectives)
            accuracies = {number: belief.mean for number, belief in believed.items()}
        return watch_of(full, accuracies, objectives, self._pricer.costs(config), self._setup.fidelities.stop_at)
