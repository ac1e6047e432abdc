"""Short runs before full ones: who is promoted, what a rung is worth, and that nothing depends on interruptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from hwmodel.errors import ConfigError
from search.executors.processes import Processes
from search.front.results import Result
from search.mirror.studies import MirroredStudies  # noqa: F401  (the studies by stage)
from search.propose.fidelity import LEAST_PAIRS
from search.rungs.fidelities import FILE, Fidelities
from search.seeds import derive_seed
from search.space import Space
from search.spec import parse_spec
from search.study import Study
from tests.search.helpers import ToyScorer, make_graph
from tests.search.rungs.toys import Stages, essence, search
from workloads.compress.config import CompressionConfig

RUNGS = {"rungs": [0.25]}


def finetunings(study: Study) -> list[Result]:
    return [result for result in study.results() if result.stage != "ptq"]


def test_four_short_runs_before_every_full_one(tmp_path: Path) -> None:
    scorer = Stages()
    study, said = search(tmp_path, scorer, qat=5, **RUNGS)
    kinds = [(result.stage, result.share, result.origin) for result in finetunings(study)]
    assert kinds == 5 * [*4 * [("short", 0.25, "sampler")], ("qat", 1.0, "promoted")]
    short, full = ([r for r in finetunings(study) if r.stage == stage] for stage in ("short", "qat"))
    assert len({result.key for result in short}) == 20, "none is run short twice"
    for result in full:
        before = [r for r in short if r.number < result.number]
        assert result.key in {r.key for r in before}
        assert (
            result.seed == derive_seed(0, "qat", result.key) == next(r.seed for r in before if r.key == result.key)
        )
    assert scorer.qat_calls == [(result.key, result.seed) for result in full]
    assert {result.stage for result in study.front()} == {"qat"}, "what is reported was trained in full"
    (report,) = study.rungs()
    assert (report.share, report.stage, report.runs, report.pairs) == (0.25, "short", 20, 5)
    assert report.correlation == pytest.approx(1.0)
    assert "Rung 0.25: 20 short runs, 5 of them with a full one, rank correlation 1.00." in said
    ptq = {result.key for result in study.results() if result.stage == "ptq"}
    assert {result.key for result in full} <= ptq, "a full run has its score without training beside it"


def test_who_is_promoted_is_better_than_who_is_not(tmp_path: Path) -> None:
    """At every promotion no other short run that waited was both cheaper and more accurate."""
    study, _ = search(tmp_path, Stages(), qat=6, **RUNGS)
    results, beaten = finetunings(study), 0
    for place, result in enumerate(results):
        if result.stage != "qat":
            continue
        done = {r.key for r in results[:place] if r.stage == "qat"}
        waiting = [r for r in results[:place] if r.stage == "short" and r.key not in done]
        own = next(r for r in waiting if r.key == result.key)
        cost = own.costs["avg_w_bits"]
        beaten += any(r.costs["avg_w_bits"] < cost and r.accuracy > own.accuracy for r in waiting)
    assert beaten <= 1


def test_two_rungs_lead_to_each_other(tmp_path: Path) -> None:
    study, _ = search(tmp_path, Stages(), qat=2, rungs=[0.125, 0.5])
    shares = [result.share for result in finetunings(study)]
    assert shares == 2 * [*8 * [0.125], *2 * [0.5], 1.0]
    results = finetunings(study)
    assert {r.key for r in results[8:10]} <= {r.key for r in results[:8]}
    assert results[10].key in {r.key for r in results[8:10]}
    assert [report.share for report in study.rungs()] == [0.125, 0.5]


def test_a_rung_that_misleads_is_dropped(tmp_path: Path) -> None:
    study, said = search(tmp_path, Stages(is_wrong=True), qat=10, **RUNGS)
    results = finetunings(study)
    pairs = sum(result.origin == "promoted" for result in results)
    assert pairs == LEAST_PAIRS
    last = max(result.number for result in results if result.stage == "short")
    assert [r.origin for r in results if r.number > last] == ["promoted"] + (10 - LEAST_PAIRS) * ["sampler"]
    (report,) = study.rungs()
    assert report.is_dropped
    assert report.correlation is not None
    assert report.correlation < 0
    assert any("below 0.5: dropped" in text for text in said)
    again, _ = search(tmp_path, Stages(is_wrong=True), qat=12, **RUNGS)
    assert [r.stage for r in finetunings(again)][len(results) :] == ["qat", "qat"], "it stays dropped"


def test_without_rungs_the_ledger_is_as_ever(tmp_path: Path) -> None:
    one, _ = search(tmp_path / "one", Stages())
    two, _ = search(tmp_path / "two", Stages(), rungs=[], warm=False, stop_at=[])
    lines = [
        [json.loads(line) for line in (s.folder / "ledger.jsonl").read_text().splitlines()] for s in (one, two)
    ]
    assert not any({"share", "curve"} & set(line) for line in lines[0])
    assert essence(one) == essence(two)
    assert not (one.folder / FILE).exists()


class Stopping(Stages):
    """Ctrl-C at one finetuning."""

    def __init__(self, call: int, **options: Any) -> None:
        super().__init__(**options)
        self.left = call

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Any, Any]:
        self._count()
        return super().qat(config, seed)

    def qat_short(self, config: CompressionConfig, seed: int, share: float, start: Any) -> Any:
        self._count()
        return super().qat_short(config, seed, share, start)


@pytest.mark.parametrize("options", [RUNGS, {"rungs": [0.2, 0.5]}])
def test_killed_after_every_commit_it_ends_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    whole, _ = search(tmp_path / "whole", Stages(), qat=4, **options)
    for call in range(len(finetunings(whole))):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "broken", Stopping(1 if call else 0), qat=4, **options)
    again, _ = search(tmp_path / "broken", Stages(), qat=4, **options)
    assert essence(again) == essence(whole)


def test_a_misleading_rung_is_dropped_in_pieces_too(tmp_path: Path) -> None:
    whole, _ = search(tmp_path / "whole", Stages(is_wrong=True), qat=9, **RUNGS)
    for call in (7, 11, 12, 2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "broken", Stopping(call, is_wrong=True), qat=9, **RUNGS)
    again, _ = search(tmp_path / "broken", Stages(is_wrong=True), qat=9, **RUNGS)
    assert essence(again) == essence(whole)


def test_workers_of_a_width_promote_as_many(tmp_path: Path) -> None:
    graph = make_graph()
    space = Space.from_graph(graph, w_bits=[2, 3, 4, 8])
    study = Study.create_or_resume(tmp_path, graph=graph, space=space, evaluate=Stages(), name="run", **RUNGS)
    with Processes(Stages, 2) as hands:
        study.run(qat=3, executor=hands)
        study.run(qat=4, executor=hands)
    assert [result.share for result in finetunings(study)] == 2 * [*8 * [0.25], 1.0, 1.0]


def test_every_stage_has_a_study_of_optuna(tmp_path: Path) -> None:
    study, _ = search(tmp_path, Stages(), qat=2, **RUNGS)
    storage = f"sqlite:///{study.folder / 'study.db'}"
    assert sorted(optuna.get_all_study_names(storage)) == ["run-ptq", "run-qat", "run-short"]
    assert len(optuna.load_study(study_name="run-short", storage=storage).trials) == 8


def test_a_small_space_is_exhausted_once(tmp_path: Path) -> None:
    graph = make_graph()
    space = Space.from_graph(graph, w_bits=[4, 8], groups={"all": ["layer*"]})
    study = Study.create_or_resume(tmp_path, graph=graph, space=space, evaluate=Stages(), name="run", **RUNGS)
    study.run(qat=5)
    assert [result.share for result in finetunings(study)] == [0.25, 0.25, 1.0, 1.0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rungs": [1.0]}, "between 0 and 1"),
        ({"rungs": [0.5, 0.25]}, "rising"),
        ({"warm": True}, "Add rungs"),
        ({"rungs": [0.5], "sampler": "tpe"}, "need the sampler 'front'"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        search(tmp_path, Stages(), **options)


def test_an_evaluator_without_short_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \.qat_short"):
        search(tmp_path, ToyScorer(), **RUNGS)
    with pytest.raises(ConfigError, match=r"no \.qat_watched"):
        search(tmp_path, ToyScorer(), stop_at=[0.5])


def test_rungs_belong_to_the_study(tmp_path: Path) -> None:
    search(tmp_path, Stages(), qat=1)
    with pytest.raises(ConfigError, match=r"fidelities\.rungs"):
        search(tmp_path, Stages(), qat=1, **RUNGS)
    assert Fidelities().to_dict() == {}


def test_a_file_asks_for_rungs_of_different_lengths() -> None:
    text = "model: resnet8\ndata: digits\nsearch: {rungs: [0.25], stop_at: [0.5]}\ntraining: {qat: {epochs: %d}}\n"
    spec = parse_spec(text % 8)
    assert spec.search.fidelities == Fidelities(rungs=(0.25,), stop_at=(0.5,))
    with pytest.raises(ConfigError, match="different numbers of epochs below 1"):
        parse_spec(text % 1)
