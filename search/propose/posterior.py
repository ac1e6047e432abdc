"""What is believed of the accuracies of scored candidates: the front of a study, and its intervals.

A measured accuracy is noisy, and a front of maxima of noise is optimistic: it holds the lucky candidates. Here each
accuracy is the posterior mean of the model that proposes (`search.propose.accuracy_model`), which has seen all
results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.front.limits import Limits
from search.front.objective import Objective, first_cost
from search.front.pareto import pareto_front
from search.front.results import Result, Stage
from search.guard.manifest import read_manifest
from search.propose.accuracy_model import AccuracyModel, nearest_to_front
from search.propose.assembling import StudyProblem
from search.propose.problem import accuracy_of
from search.propose.scores import FILE, ScoreCache
from search.propose.sensitivity import Sensitivity, sensitivity_of, single_changes
from search.space import Space
from workloads.training.accuracy import Interval

#: Of more results the accuracies of those farthest from the front are taken as measured.
MAX_BELIEVED = 512
_Z95 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Belief:
    """The accuracy of one candidate.

    Attributes:
        mean: posterior mean.
        interval: of 95 % posterior probability, for one more training run of it.
    """

    mean: float
    interval: Interval


Beliefs = Mapping[int, Belief]
NO_BELIEFS: Beliefs = {}


def means_of(beliefs: Beliefs) -> dict[int, float]:
    """Number of a result -> the accuracy that counts: fronts and picks are made with it."""
    return {number: belief.mean for number, belief in beliefs.items()}


def believed_columns(beliefs: Mapping[int, Belief], numbers: Iterable[int]) -> dict[str, list[float]]:
    """`believed` and the ends of its interval, as tables have them; nan where nothing is believed."""
    known = [beliefs.get(number) for number in numbers]
    return {
        "believed": [math.nan if belief is None else belief.mean for belief in known],
        "believed_low": [math.nan if belief is None else belief.interval.low for belief in known],
        "believed_high": [math.nan if belief is None else belief.interval.high for belief in known],
    }


def beliefs_of(
    space: Space, sensitivity: Sensitivity | None, results: Sequence[Result], objectives: Sequence[Objective]
) -> dict[int, Belief]:
    """Number of a result -> what is believed of it, for all results of one stage that are done.

    Args:
        space: of the study.
        sensitivity: as its proposer had it.
        results: of any stages; each stage is believed for itself.
        objectives: of the study.
    """
    assembled = StudyProblem(space, objectives, Limits(), None, sensitivity)
    found: dict[int, Belief] = {}
    stages: tuple[Stage, ...] = ("ptq", "qat")
    for stage in stages:
        done = [result for result in results if result.is_done and result.stage == stage]
        if not done:
            continue
        if len(done) > MAX_BELIEVED:
            cost, accuracy = first_cost(objectives), np.array([result.accuracy for result in done])
            costs = np.array([cost.value(result) for result in done])
            done = [done[row] for row in nearest_to_front(costs, -accuracy, MAX_BELIEVED)]
        seen = assembled.observations(done)
        model = AccuracyModel(assembled.prior(stage), seen)
        mean, deviation = model.predict(seen.picks)
        deviation = np.hypot(deviation, model.noise)
        low, high = accuracy_of(mean + _Z95 * deviation), accuracy_of(mean - _Z95 * deviation)
        for result, middle, bottom, top in zip(done, accuracy_of(mean), low, high, strict=True):
            found[result.number] = Belief(mean=float(middle), interval=Interval(low=float(bottom), high=float(top)))
    return found


def believed_front(
    results: Sequence[Result], objectives: Sequence[Objective], beliefs: Mapping[int, Belief]
) -> tuple[Result, ...]:
    """The results that no other dominates in costs and believed accuracy, cheapest first; of equal ones the first.

    Args:
        results: of one stage; failed ones are left out.
        objectives: of the study.
        beliefs: of the results; without one a result counts as measured.
    """
    return pareto_front(results, objectives, unique=True, accuracies=means_of(beliefs))


def read_beliefs(
    folder: str | Path, results: Sequence[Result], objectives: Sequence[Objective]
) -> dict[int, Belief]:
    """Of the results of a run folder, from its `study.json` and `sensitivity.json`; none where its sampler believes
    none.

    Raises:
        ConfigError: a file is damaged.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.get("sampler") != "front":
        return {}
    space = Space.from_dict(manifest["space"])
    sensitivity = read_sensitivity(folder, space) if manifest.get("sensitivity") else None
    return beliefs_of(space, sensitivity, results, objectives)


def read_sensitivity(folder: str | Path, space: Space) -> Sensitivity | None:
    """As a run folder holds it; None before it is measured whole.

    Raises:
        ConfigError: its file is damaged.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return None
    cache = ScoreCache(path)
    if any(space.config(change.point).key not in cache for change in single_changes(space)):
        return None
    return sensitivity_of(space, cache)
