"""What is believed of noisy scores, and the front that follows from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.front.limits import Limits
from search.front.objective import resolve_objectives
from search.front.pareto import pareto_front
from search.front.results import Result
from search.propose import posterior
from search.propose.assembling import StudyProblem
from search.propose.posterior import beliefs_of, believed_front, read_beliefs
from search.propose.pricing import Pricer
from search.space import Space
from search.study import Study
from tests.search.helpers import ToyScorer, make_graph, total_drop
from workloads.compress.config import CompressionConfig

GRAPH = make_graph()
SPACE = Space.from_graph(GRAPH)
AXES = resolve_objectives(["accuracy", "avg_w_bits"])


def noisy_results(seed: int, total: int = 400) -> list[Result]:
    rng, pricer = np.random.default_rng(seed), Pricer(GRAPH, None)
    found = []
    for number, point in enumerate(SPACE.points()):
        config = SPACE.config(point)
        right = rng.binomial(total, 0.95 - total_drop(config))
        found.append(
            Result(
                number=number,
                stage="qat",
                point=point,
                config=config.to_dict(),
                key=config.key,
                correct=int(right),
                total=total,
                costs=pricer.costs(config),
                seed=1,
            )
        )
    return found


def truth(result: Result) -> float:
    return 0.95 - total_drop(CompressionConfig.from_dict(result.config))


def test_beliefs_are_nearer_to_the_truth_than_measurements() -> None:
    results = noisy_results(0)
    beliefs = beliefs_of(SPACE, None, results, AXES)
    measured = np.array([result.accuracy - truth(result) for result in results])
    believed = np.array([beliefs[result.number].mean - truth(result) for result in results])
    assert np.sqrt((believed**2).mean()) < 0.6 * np.sqrt((measured**2).mean())
    inside = [beliefs[r.number].interval.low <= truth(r) <= beliefs[r.number].interval.high for r in results]
    assert np.mean(inside) > 0.85, "of 95 %, in a case whose truth is no sum of logits"
    assert all(b.interval.low < b.mean < b.interval.high for b in beliefs.values())


def test_the_believed_front_is_less_optimistic() -> None:
    """Over several draws of the noise: what a front says of itself, less what is true."""

    def bias(front: tuple[Result, ...], said: dict[int, float]) -> float:
        return float(np.mean([said[result.number] - truth(result) for result in front]))

    measured, believed = [], []
    for seed in range(6):
        results = noisy_results(seed)
        beliefs = beliefs_of(SPACE, None, results, AXES)
        measured.append(bias(pareto_front(results, AXES), {r.number: r.accuracy for r in results}))
        means = {number: belief.mean for number, belief in beliefs.items()}
        believed.append(bias(believed_front(results, AXES, beliefs), means))
    assert np.mean(measured) > 0.005
    assert abs(np.mean(believed)) < 0.5 * np.mean(measured)


def test_failures_and_stages_are_kept_apart() -> None:
    results = noisy_results(1)[:20]
    failed = Result(number=20, stage="qat", key="x", status="failed", error="no")
    assert set(beliefs_of(SPACE, None, [*results, failed], AXES)) == set(range(20))
    assert beliefs_of(SPACE, None, [failed], AXES) == {}


def test_of_very_many_the_farthest_count_as_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    results = noisy_results(2)
    monkeypatch.setattr(posterior, "MAX_BELIEVED", 30)
    beliefs = beliefs_of(SPACE, None, results, AXES)
    assert len(beliefs) == 30
    assert {r.number for r in pareto_front(results, AXES)} <= set(beliefs)


def test_a_run_folder_tells_the_same_as_its_study(tmp_path: Path) -> None:
    study = Study.create_or_resume(tmp_path / "own", graph=GRAPH, space=SPACE, evaluate=ToyScorer())
    study.run(trials=5, qat=8)
    results = study.results()
    assert read_beliefs(study.folder, results, AXES) == study.beliefs()
    assert set(study.beliefs()) == {r.number for r in results}
    other = Study.create_or_resume(tmp_path / "tpe", graph=GRAPH, space=SPACE, evaluate=ToyScorer(), sampler="tpe")
    other.run(trials=5, qat=4)
    assert other.beliefs() == {} == read_beliefs(other.folder, other.results(), AXES)
    assert other.front() == pareto_front([r for r in other.results() if r.stage == "qat"], AXES, unique=True)
    assert not (tmp_path / "tpe" / "sensitivity.json").exists(), "Optuna's samplers have no use for it"


def test_results_of_a_space_that_grew_are_believed_as_what_they_were() -> None:
    """Activations were 4 bits everywhere; now they may be 4 or 8."""
    small = Space.from_graph(GRAPH, a_bits=(4,))
    grown = Space.from_graph(GRAPH, a_bits=(4, 8))
    results = []
    for number, point in enumerate(list(small.points())[::7]):
        config = small.config(point)
        results.append(
            Result(
                number=number, stage="qat", point=point, config=config.to_dict(), key=config.key,
                correct=300 + number, total=400, costs=Pricer(GRAPH, None).costs(config), seed=1,
            )
        )  # fmt: skip
    seen = StudyProblem(grown, AXES, Limits(), None, None).observations(results)
    narrow = [
        list(group.combinations)[pick] for row in seen.picks for group, pick in zip(grown.groups, row, strict=True)
    ]
    assert {a_bits for _, a_bits, _ in narrow} == {4}
