"""Every random choice has a seed of its own, which depends on what it is for and never on when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from search.executors import InProcess
from search.finaltest import measure_front, read_tests
from search.front.limits import Limits
from search.front.objective import resolve_objectives
from search.front.results import Result
from search.observer import Observer
from search.propose import SAMPLERS
from search.propose.asking import ATTEMPTS, Asker, FrontAsker, OptunaAsker
from search.propose.assembling import StudyProblem
from search.propose.pricing import Pricer
from search.propose.sampler import NSGA2_POPULATION
from search.scoring import Evaluator
from search.seeds import derive_seed
from search.space import Point, Space
from search.study import Study
from tests.search.helpers import Count, ToyScorer, make_graph
from workloads.compress.config import CompressionConfig

GRAPH = make_graph()
SPACE = Space.from_graph(GRAPH)
AXES = resolve_objectives(["accuracy", "avg_w_bits"])


def test_seeds_are_31_bits_and_depend_on_every_part_and_their_order() -> None:
    parts: list[tuple[int | str, ...]] = [(0, "a"), (1, "a"), (0, "b"), ("a", 0), (0, "a", 0), (0, "a", 1), ("0a",)]
    seeds = [derive_seed(*part) for part in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seeds == [derive_seed(*part) for part in parts]


# ---- finetuning ----------------------------------------------------------------------------------


def finetuned(folder: Path, seed: int) -> tuple[list[Result], ToyScorer]:
    scorer = ToyScorer()
    study = Study.create_or_resume(folder, graph=GRAPH, space=SPACE, evaluate=scorer, seed=seed)
    study.run(trials=6, qat=5)
    return [result for result in study.results() if result.stage == "qat"], scorer


def test_every_candidate_is_finetuned_with_the_seed_that_the_ledger_records(tmp_path: Path) -> None:
    results, scorer = finetuned(tmp_path / "zero", 0)
    assert scorer.qat_calls == [(result.key, result.seed) for result in results]
    assert [result.seed for result in results] == [derive_seed(0, "qat", result.key) for result in results]
    others, _ = finetuned(tmp_path / "one", 1)
    assert {result.seed for result in results}.isdisjoint(result.seed for result in others)


# ---- final repeats -------------------------------------------------------------------------------


class FinalScorer:
    """What `measure_front` asks of a scorer; keeps the seeds it was given."""

    def __init__(self) -> None:
        self.qat_calls: list[tuple[str, int]] = []

    def float_accuracy(self) -> Count:
        return Count(990)

    def ptq(self, config: CompressionConfig) -> Count:
        raise AssertionError("nothing is scored without training at the end")

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, str]:
        self.qat_calls.append((config.key, seed))
        return Count(900), "model"

    def compressed(self, config: CompressionConfig) -> str:
        return "model"

    def validation(self, model: object) -> Count:
        return Count(900)

    def test(self, model: object) -> Count:
        return Count(880)


def front_of(stage: str) -> list[Result]:
    found = []
    for number, bits in enumerate((2, 4, 8)):
        config = CompressionConfig.from_bits(dict.fromkeys(GRAPH.modules, bits), a_bits=8)
        found.append(
            Result(
                number=number, stage=stage, config=config.to_dict(), key=config.key, correct=900, total=1000,
                seed=derive_seed(7, "qat", config.key) if stage == "qat" else 0,
            )  # type: ignore[arg-type]
        )  # fmt: skip
    return found


def measured(folder: Path, front: list[Result], test_seeds: int, seed: int = 7) -> FinalScorer:
    folder.mkdir(exist_ok=True)
    scorer = FinalScorer()
    materials: Any = SimpleNamespace(
        folder=folder, scorer=scorer, float_model="model", rebuild=lambda result: "model",
        as_model=lambda config, found: found, spec=SimpleNamespace(search=SimpleNamespace(seed=seed)),
    )  # fmt: skip
    measure_front(materials, front, test_seeds, Observer(), InProcess(Evaluator(scorer)))
    return scorer


def test_final_repeats_have_the_seeds_promised_and_no_two_the_same(tmp_path: Path) -> None:
    front = front_of("qat")
    scorer = measured(tmp_path / "run", front, 4)
    records = [record for record in read_tests(tmp_path / "run") if record.stage == "qat"]
    assert [(record.key, record.run) for record in records] == [(r.key, run) for r in front for run in range(4)]
    assert scorer.qat_calls == [(record.key, record.seed) for record in records if record.run > 0]
    for record in records:
        own = next(result.seed for result in front if result.key == record.key)
        assert record.seed == (derive_seed(7, "test", record.key, record.run) if record.run else own)
    assert len({record.seed for record in records}) == len(records) == 12
    other = measured(tmp_path / "other", front, 4, seed=8)
    assert {seed for _, seed in scorer.qat_calls}.isdisjoint(seed for _, seed in other.qat_calls)


def test_more_repeats_later_leave_those_before_as_they_are(tmp_path: Path) -> None:
    front = front_of("qat")
    first = measured(tmp_path, front, 2).qat_calls
    second = measured(tmp_path, front, 3).qat_calls
    whole = measured(tmp_path / "whole", front, 3).qat_calls
    assert sorted(first + second) == sorted(whole) and len(set(whole)) == 6


def test_without_training_nothing_is_random_and_each_is_measured_once(tmp_path: Path) -> None:
    assert measured(tmp_path, front_of("ptq"), 3).qat_calls == []
    assert [record.run for record in read_tests(tmp_path)] == [0] * 4  # the float model and three candidates


# ---- samplers ------------------------------------------------------------------------------------


def asker(seed: int, sampler: str) -> Asker:
    if sampler != "front":
        return OptunaAsker(SPACE, AXES, sampler, seed, is_allowed=lambda point: True)
    problem = StudyProblem(SPACE, AXES, Limits(), Pricer(GRAPH, None), None)
    return FrontAsker(
        SPACE,
        AXES,
        problem.layout,
        lambda history: problem.sampler("ptq", seed, history),
        is_allowed=lambda point: True,
    )


def scored(points: Sequence[Point]) -> list[tuple[Point, Result]]:
    """Each point with a result that is worse the fewer bits there are."""
    found = []
    for number, point in enumerate(points):
        config = SPACE.config(point)
        costs = Pricer(GRAPH, None).costs(config)
        result = Result(
            number=number, stage="ptq", point=dict(point), config=config.to_dict(), key=config.key,
            correct=900 + int(10 * costs["avg_w_bits"]), total=1000, costs=costs,
        )  # fmt: skip
        found.append((point, result))
    return found


def proposals(seed: int, count: int, sampler: str, restart_every: int | None = None) -> list[tuple[int, ...]]:
    """Points one after another; the asker is made anew from the results now and then."""
    current, points = asker(seed, sampler), list[Point]()
    for number in range(count):
        if restart_every and number % restart_every == 0:
            current = asker(seed, sampler)
            for item in scored(points):
                current.observe([item])
        (point,) = current.propose(1, frozenset(SPACE.indices(p) for p in points))
        points.append(point)
        current.observe(scored(points)[-1:])
    return [SPACE.indices(point) for point in points]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_that_is_opened_again_is_proposed_the_same(sampler: str) -> None:
    count = 14 if sampler == "gp" else 26
    whole = proposals(0, count, sampler)
    assert proposals(0, count, sampler, restart_every=5) == whole
    assert len(set(whole)) == count, "each candidate is new"
    if sampler != "front":  # ours draws nothing in a space that it can list
        assert proposals(1, count, sampler) != whole


def test_nsga2_breeds() -> None:
    """Its first generation is random, the next is not: it was bred from results."""
    found, drawn = proposals(0, 40, "nsga2"), proposals(0, 40, "random")
    assert found[:NSGA2_POPULATION] == drawn[:NSGA2_POPULATION]
    assert sum(a == b for a, b in zip(found[NSGA2_POPULATION:], drawn[NSGA2_POPULATION:], strict=True)) < 5


def test_every_attempt_of_a_sampler_has_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    original = optuna.samplers.TPESampler

    def spy(**options: Any) -> optuna.samplers.TPESampler:
        seeds.append(options["seed"])
        return original(**options)

    current = asker(3, "tpe")
    monkeypatch.setattr(optuna.samplers, "TPESampler", spy)
    everything = [SPACE.indices(point) for point in SPACE.points()]
    (left,) = current.propose(1, frozenset(everything[1:]))
    assert SPACE.indices(left) == everything[0]
    assert seeds == [derive_seed(3, "sampler", len(everything) - 1, attempt) for attempt in range(len(seeds))]
    assert 1 < len(seeds) == len(set(seeds)) <= ATTEMPTS
