"""The study: candidates, two stages, failures, changed spaces, Optuna's copy."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from torch import nn

from hwmodel import Layer, LayerGraph, Port, Tensor, VectorOp, evaluate, load_accelerator
from hwmodel.errors import ConfigError
from search import mirror
from search.front.pareto import hypervolume
from search.front.results import Result
from search.guard.manifest import read_manifest, write_manifest
from search.ledger import RunLock, RunLockedError
from search.observer import Observer
from search.space import Space
from search.study import Study
from tests.search.helpers import Count, ToyScorer, ToyTable, make_graph, total_drop
from workloads.compress.config import CompressionConfig

GRAPH = make_graph()
SPACE = Space.from_graph(GRAPH)


def open_study(folder: Path, evaluate: Any = None, **options: Any) -> Study:
    settings: dict[str, Any] = {"graph": GRAPH, "space": SPACE, "evaluate": evaluate or ToyScorer(), **options}
    return Study.create_or_resume(folder, **settings)


def essence(results: tuple[Result, ...]) -> list[tuple[object, ...]]:
    return [(r.number, r.stage, r.key, r.status, r.correct, r.total, r.seed, r.origin) for r in results]


# ---- stages --------------------------------------------------------------------------------------


def test_a_whole_run(tmp_path: Path) -> None:
    scorer = ToyScorer()
    study = open_study(tmp_path / "r20", scorer)
    new = study.run(trials=30, qat=9)
    results = study.results()
    assert new == results
    proposed = [r for r in results if r.stage == "ptq" and r.origin != "companion"]
    finetuned = [r for r in results if r.stage == "qat"]
    assert (len(proposed), len(finetuned)) == (30, 9)
    assert [r.origin for r in proposed[:3]] == ["uniform"] * 3
    assert {r.origin for r in proposed[3:]} == {r.origin for r in finetuned} == {"sampler"}
    assert SPACE.indices(finetuned[0].point) == SPACE.indices(SPACE.most_precise)
    # every configuration was scored once, single changes of the sensitivities included
    assert len(scorer.ptq_calls) == len(set(scorer.ptq_calls))
    assert len(scorer.qat_calls) == len({key for key, _ in scorer.qat_calls}) == 9
    # every finetuned candidate has a PTQ score
    assert {r.key for r in finetuned} <= {r.key for r in results if r.stage == "ptq"}


def test_the_same_seed_gives_the_same_study_and_another_does_not(tmp_path: Path) -> None:
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        study = open_study(tmp_path / name, seed=seed)
        study.run(trials=18, qat=4)
        runs.append(essence(study.results()))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_rival_costs_no_more_in_anything(tmp_path: Path) -> None:
    study = open_study(tmp_path, table=ToyTable(), objectives=("accuracy", "energy", "avg_w_bits"))
    study.run(qat=12)
    wide, narrow = (SPACE.config({p.name: bits for p in SPACE.parameters}) for bits in (4, 2))
    limits = study.pricer().costs(wide)
    beliefs = study.beliefs()
    cheap = [
        result for result in study.front()
        if all(result.costs[key] <= limits[key] for key in ("energy_pj", "avg_w_bits"))
    ]  # fmt: skip
    best = max(beliefs[result.number].mean for result in cheap)
    rival = study.rival(wide)
    assert rival in cheap
    assert rival is not None and beliefs[rival.number].mean == best
    assert len({result.number for result in study.front()} - {result.number for result in cheap}) > 0
    both = study.rival(wide, narrow)  # no more than the cheaper of the two
    assert both is None or SPACE.point_of(CompressionConfig.from_dict(both.config)) == SPACE.point_of(narrow)


def test_a_rival_may_be_held_to_one_cost(tmp_path: Path) -> None:
    study = open_study(tmp_path, table=ToyTable(), objectives=("accuracy", "energy", "avg_w_bits"))
    study.run(qat=12)
    beliefs, costs = study.beliefs(), [result.costs["avg_w_bits"] for result in study.front()]
    for result in study.front():
        config = CompressionConfig.from_dict(result.config)
        rival = study.rival(config, costs=["avg_w_bits"])
        no_dearer = [r for r in study.front() if r.costs["avg_w_bits"] <= result.costs["avg_w_bits"]]
        assert rival is not None
        assert beliefs[rival.number].mean == max(beliefs[r.number].mean for r in no_dearer)
    assert len(set(costs)) > 1
    with pytest.raises(
        ConfigError, match=r"rival: costs must be objectives \(energy_pj, avg_w_bits\), but got bops"
    ):
        study.rival(config, costs=["bops"])


def test_a_finished_study_runs_no_more(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.run(trials=12, qat=3)
    assert study.run(trials=12, qat=3) == ()
    more = study.run(trials=14, qat=3)
    assert [r.stage for r in more] == ["ptq"] * 2


class SavingScorer(ToyScorer):
    """Finetuning gives a model whose weight is its seed."""

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, nn.Module]:
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, seed % 97)
        return super().qat(config, seed)[0], model


def test_uniform_points_are_finetuned_first_and_keep_their_weights(tmp_path: Path) -> None:
    """Those of 2 bits in every layer but the last cost more and are worse than nothing: no front has them."""
    poor = {**SPACE.uniform_point(w_bits=8), "layer2.0.conv2.w_bits": 2}
    uniform = [SPACE.uniform_point(w_bits=4), poor]
    scorer = SavingScorer()
    study = open_study(tmp_path, scorer)
    study.run(trials=8, qat=6, uniform=uniform)
    finetuned = [r for r in study.results() if r.stage == "qat"]
    assert [r.origin for r in finetuned] == ["uniform"] * 2 + ["sampler"] * 4
    assert [dict(r.point) for r in finetuned[:2]] == uniform
    assert [r.is_baseline for r in finetuned] == [True] * 2 + [False] * 4
    assert finetuned[1].number not in {r.number for r in study.front("qat")}
    weights = tmp_path / finetuned[1].checkpoint
    before = weights.read_bytes()
    study.run(trials=8, qat=6, uniform=uniform)
    assert len(scorer.qat_calls) == 6
    weights.unlink()
    study.run(trials=8, qat=6, uniform=uniform)
    assert len(scorer.qat_calls) == 7 and weights.read_bytes() == before


def test_uniform_points_outside_the_limits_are_said(tmp_path: Path) -> None:
    said: list[str] = []

    class Watch(Observer):
        def message(self, text: str) -> None:
            said.append(text)

    study = open_study(tmp_path, limits={"avg_w_bits": "<= 5"})
    study.run(trials=3, qat=2, uniform=[SPACE.uniform_point(w_bits=b) for b in (8, 2)], progress=Watch())
    assert [r.origin for r in study.results() if r.stage == "qat"] == ["uniform", "sampler"]
    assert [text for text in said if text.startswith("1 of the candidates given are outside the limits")]


def test_few_runs_reach_the_exact_front_of_an_additive_problem(tmp_path: Path) -> None:
    """Drops add up in the toy problem, so 12 of its 81 configurations hold nearly all of the volume."""
    study = open_study(tmp_path)
    study.run(qat=12)
    everything = [SPACE.config(point) for point in SPACE.points()]
    costs = study.pricer()
    losses = [[total_drop(c), costs.costs(c)["avg_w_bits"]] for c in everything]
    found = [CompressionConfig.from_dict(r.config) for r in study.front("qat")]
    reached = [[total_drop(c), costs.costs(c)["avg_w_bits"]] for c in found]
    corner = [max(drop for drop, _ in losses) * 1.01, 8.01]
    assert hypervolume(reached, corner) > 0.97 * hypervolume(losses, corner)


def test_costs_equal_the_table_and_the_arithmetic(tmp_path: Path) -> None:
    study = open_study(tmp_path, table=ToyTable(), objectives=("accuracy", "energy", "memory"))
    study.run(trials=5)
    for result in study.results():
        config = CompressionConfig.from_dict(result.config)
        totals = ToyTable().price({m: c.choice for m, c in config.layers.items()})
        assert result.costs["energy_pj"] == totals.energy_pj
        assert result.costs["avg_w_bits"] == pytest.approx(totals.avg_w_bits)
    plain = open_study(tmp_path / "plain").pricer().costs(config)
    assert plain["avg_w_bits"] == pytest.approx(totals.avg_w_bits)
    assert (plain["weight_bits"], plain["bops"]) == (totals.weight_bits, totals.bops)


def test_a_small_space_is_exhausted_and_said_so(tmp_path: Path) -> None:
    said: list[str] = []

    class Watch(Observer):
        def message(self, text: str) -> None:
            said.append(text)

    space = Space.from_graph(GRAPH, w_bits=(2, 8), groups={"all": "layer*"})
    study = open_study(tmp_path, space=space)
    study.run(trials=10, qat=10, progress=Watch())
    assert len([r for r in study.results() if r.stage == "ptq"]) == len(
        [r for r in study.results() if r.stage == "qat"]
    )
    assert len({r.key for r in study.results()}) == 2
    assert "All 2 configurations of the space are scored: 2 of 10 trials." in said


def test_a_space_of_one_point(tmp_path: Path) -> None:
    study = open_study(tmp_path, space=Space.from_graph(GRAPH, w_bits=(4,)))
    study.run(trials=3, qat=2)
    assert [r.stage for r in study.results()] == ["ptq", "qat"]
    assert study.pick("knee").stage == "qat"


def test_candidates_of_the_user_come_first(tmp_path: Path) -> None:
    mine = SPACE.point([0, 1, 2, 0])
    study = open_study(tmp_path)
    first = study.run(trials=4, candidates=[mine])[0]
    assert (first.origin, dict(first.point)) == ("user", mine)
    with pytest.raises(ConfigError, match="unknown parameter"):
        study.run(trials=5, candidates=[{"nothing": 1}])


def test_a_function_is_an_evaluator_of_one_stage(tmp_path: Path) -> None:
    study = open_study(tmp_path, lambda config: math.exp(-total_drop(config)))
    study.run(trials=6)
    assert not (tmp_path / "sensitivity.json").exists()  # each score may be expensive
    assert all(0 < r.accuracy <= 1 and r.interval is None for r in study.results())
    with pytest.raises(ConfigError, match=r"no \.qat"):
        study.run(trials=6, qat=1)


# ---- failures ------------------------------------------------------------------------------------


class Flaky(ToyScorer):
    """Fails once for everything, always for 2 bits in one layer."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tries: dict[str, int] = {}

    def ptq(self, config: CompressionConfig) -> Count:
        self.tries[config.key] = self.tries.get(config.key, 0) + 1
        if self.tries[config.key] == 1 or config.layers["layer2.0.conv2"].w_bits == 2:
            raise self.error
        return super().ptq(config)


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), MemoryError()])
def test_failures_are_retried_once_and_recorded(tmp_path: Path, error: Exception) -> None:
    scorer = Flaky(error)
    study = open_study(tmp_path, scorer)
    study.run(trials=16, qat=3)
    ptq = [r for r in study.results() if r.stage == "ptq"]
    failed = [r for r in ptq if not r.is_done]
    assert failed and len(ptq) >= 16
    assert {r.error for r in failed} == {f"{type(error).__name__}: {error}"}
    assert all(CompressionConfig.from_dict(r.config).layers["layer2.0.conv2"].w_bits == 2 for r in failed)
    assert set(scorer.tries.values()) == {2}
    assert all(r.is_done for r in study.front("ptq"))
    trials = load(tmp_path, "ptq").get_trials()
    assert sum(t.state == optuna.trial.TrialState.FAIL for t in trials) == len(failed)


@pytest.mark.parametrize("answer", [math.nan, 1.5, "high", Count(3, 2)])
def test_a_bad_accuracy_is_a_failure(tmp_path: Path, answer: object) -> None:
    study = open_study(tmp_path, lambda config: answer)
    study.run(trials=2)
    assert {r.status for r in study.results()} == {"failed"}
    with pytest.raises(ConfigError, match="front is empty"):
        study.pick("knee")


def test_a_bug_is_not_a_failed_candidate(tmp_path: Path) -> None:
    def broken(config: CompressionConfig) -> float:
        raise AttributeError("typo")

    with pytest.raises(AttributeError):
        open_study(tmp_path, broken).run(trials=1)


def test_nothing_can_be_scored_without_a_reference(tmp_path: Path) -> None:
    class Broken(ToyScorer):
        def ptq(self, config: CompressionConfig) -> Count:
            raise RuntimeError("no memory")

    with pytest.raises(ConfigError, match="most precise configuration cannot be scored: RuntimeError: no memory"):
        open_study(tmp_path, Broken()).run(trials=3)


# ---- what changed between two runs ---------------------------------------------------------------


def test_a_changed_space_is_refused_and_a_larger_one_extends(tmp_path: Path) -> None:
    folder = tmp_path / "r20"
    study = open_study(folder)
    study.run(trials=10, qat=3)
    larger = Space.from_graph(GRAPH, w_bits=(2, 4, 8, 16))
    count = len(study.results())
    message = (
        rf"^Study 'r20' used w_bits \[2,4,8\], now \[2,4,8,16\]\. --extend keeps its {count} results, or choose"
    )
    with pytest.raises(ConfigError, match=message):
        open_study(folder, space=larger)
    before = study.results()
    extended = open_study(folder, space=larger, extend=True)
    extended.run(trials=20, qat=5)
    assert extended.results()[:count] == before
    assert any("16" in json.dumps(dict(r.point)) for r in extended.results()[count:])
    assert len(load(folder, "ptq").trials) == len([r for r in extended.results() if r.stage == "ptq"])
    with pytest.raises(ConfigError, match="must contain the old one"):
        open_study(folder, extend=True)


def test_extending_by_a_new_axis(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.run(trials=6, qat=2)
    wider = open_study(tmp_path, space=Space.from_graph(GRAPH, a_bits=(4, 8)), extend=True)
    wider.run(trials=12, qat=4)
    assert {r.point.get("layer1.0.conv1.a_bits") for r in wider.results()[-8:]} & {4, 8}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "used seed 0, now 1"),
        ({"fuse": False}, "used fuse true, now false"),
        ({"objectives": ("accuracy", "energy"), "table": ToyTable()}, "used objectives"),
        ({"graph": make_graph("other")}, "used graph 'toy"),
        ({"context": {"training": {"epochs": 3}}}, "used training.epochs 2, now 3"),
        ({"space": Space.from_graph(GRAPH, frozen=None)}, "used frozen"),
        ({"space": Space.from_graph(GRAPH, groups={"a": "layer1.*"})}, "used groups"),
        ({"space": Space.from_graph(GRAPH, quantizer="minmax")}, "used quantizer 'lsq', now 'minmax'"),
        ({"space": Space.from_graph(GRAPH, granularity="channel")}, "used granularity 'tensor', now 'channel'"),
    ],
)
def test_what_makes_results_incomparable(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    open_study(tmp_path, context={"training": {"epochs": 2}})
    with pytest.raises(ConfigError, match=message):
        open_study(tmp_path, **{"context": {"training": {"epochs": 2}}, "extend": True, **change})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ({}, {"quantizer": "minmax"}, "used quantizer 'lsq', now 'minmax'"),
        ({}, {"granularity": "channel"}, "used granularity 'tensor', now 'channel'"),
        ({"density": (0.5, 1.0)}, {"pattern": "filter"}, "used pattern 'unstructured', now 'filter'"),
        ({}, {"groups": {"a": "layer1.*"}}, "used groups"),
        ({}, {"w_bits": (4, 8)}, r"used w_bits \[2,4,8\], now \[4,8\]"),
        ({"a_bits": (4, 8)}, {"a_bits": (8,)}, r"used a_bits \[4,8\], now \[8\]"),
        ({"density": (0.5, 1.0)}, {"density": (1.0,)}, r"used density \[0\.5,1\.0\], now \[1\.0\]"),
        ({}, {"frozen": {"fc": 8}}, "used frozen {}, now"),
        ({"frozen": {"fc": 8}}, {"frozen": {"fc": 4}}, 'used frozen {"fc": 8}, now {"fc": 4}'),
        (
            {"groups": {"a": "layer1.*", "b": "layer2.*"}},
            {"groups": {"a": "*.conv1", "b": "*.conv2"}},
            "used groups",
        ),
    ],
)
def test_no_extension_changes_what_old_results_mean(
    tmp_path: Path, old: dict[str, Any], new: dict[str, Any], message: str
) -> None:
    """Nothing is frozen unless the case says so: no frozen choice gives the change away."""
    before: dict[str, Any] = {"frozen": None, **old}
    open_study(tmp_path, space=Space.from_graph(GRAPH, **before))
    with pytest.raises(ConfigError, match=rf"{message}.*\. The new space must contain the old one"):
        open_study(tmp_path, space=Space.from_graph(GRAPH, **{**before, **new}), extend=True)


@pytest.mark.parametrize("key", ["name", "context", "space"])
def test_a_manifest_that_lacks_a_key_is_refused(tmp_path: Path, key: str) -> None:
    open_study(tmp_path)
    path = tmp_path / "study.json"
    path.write_text(
        json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key})
    )
    with pytest.raises(ConfigError, match=rf"study\.json: {key} missing\. Restore"):
        open_study(tmp_path)


def test_objectives_that_need_an_accelerator(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="energy needs an accelerator"):
        open_study(tmp_path, objectives=("accuracy", "energy"))


def test_two_writers(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    with RunLock(tmp_path), pytest.raises(RunLockedError, match="being written by process"):
        study.run(trials=1)
    study.run(trials=1)


@pytest.mark.parametrize(("options", "message"), [({"trials": -1}, "trials >= 0"), ({"qat": 1.5}, "qat >= 0")])
def test_bad_budgets(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_study(tmp_path).run(**options)


def test_front_of_an_unknown_stage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'qat'"):
        open_study(tmp_path).front("qta")  # type: ignore[arg-type]


# ---- Optuna's copy -------------------------------------------------------------------------------


def load(folder: Path, stage: str) -> optuna.Study:
    """The study as any Optuna tool opens it."""
    return optuna.load_study(
        study_name=f"{folder.resolve().name}-{stage}", storage=f"sqlite:///{folder / 'study.db'}"
    )


@pytest.fixture(autouse=True)
def _close_databases(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Storages opened by `load` hold a connection until they are disposed of."""
    opened: list[Any] = []
    original = optuna.storages.RDBStorage.__init__

    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        opened.append(self)

    monkeypatch.setattr(optuna.storages.RDBStorage, "__init__", remember)
    yield
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


def test_optuna_holds_the_ledger(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.run(trials=8, qat=3)
    for stage in ("ptq", "qat"):
        copy = load(tmp_path, stage)
        wanted = [r for r in study.results() if r.stage == stage]
        assert copy.metric_names == ["accuracy", "avg_w_bits"]
        assert [d.name for d in copy.directions] == ["MAXIMIZE", "MINIMIZE"]
        assert [t.values for t in copy.trials] == [[r.accuracy, r.costs["avg_w_bits"]] for r in wanted]
        assert [t.params for t in copy.trials] == [dict(r.point) for r in wanted]
        assert [t.user_attrs["key"] for t in copy.trials] == [r.key for r in wanted]


@pytest.mark.parametrize("damage", ["crash", "deleted", "garbage", "foreign"])
def test_optuna_is_rebuilt_from_the_ledger(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(tmp_path)
    study.run(trials=8)
    database = tmp_path / "study.db"
    if damage == "crash":  # killed after the ledger, before Optuna

        def dead(self: object, result: Result) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(mirror.OptunaMirror, "add", dead)
            study.run(trials=9)
        assert (len(study.results()), len(load(tmp_path, "ptq").trials)) == (9, 8)
    elif damage == "deleted":
        database.unlink()
    elif damage == "garbage":
        database.write_bytes(b"not a database" * 100)
    else:
        load(tmp_path, "ptq").ask()  # a trial left running by another program
    study.run(trials=10)
    assert [t.user_attrs["number"] for t in load(tmp_path, "ptq").trials] == list(range(10))
    whole = open_study(tmp_path / "whole", name=study.name)
    whole.run(trials=10)
    assert essence(study.results()) == essence(whole.results())


def test_nothing_of_optuna_is_left_changed(tmp_path: Path) -> None:
    before = optuna.logging.get_verbosity()
    open_study(tmp_path).run(trials=2)
    assert optuna.logging.get_verbosity() == before


def test_frame_and_repr(tmp_path: Path) -> None:
    study = open_study(tmp_path / "r20")
    study.run(trials=5)
    frame = study.to_dataframe()
    assert len(frame) == 5
    assert {"accuracy", "avg_w_bits", "layer1.0.conv1.w_bits"} <= set(frame.columns)
    assert repr(study).startswith("Study('r20', 5 results, 0 failed")


def test_observer_hears_of_everything(tmp_path: Path) -> None:
    heard: list[tuple[object, ...]] = []

    class Watch(Observer):
        def stage_started(self, stage: str, done: int, total: int) -> None:
            heard.append((stage, done, total))

        def candidate_done(self, result: Result, done: int, total: int, front: tuple[Result, ...]) -> None:
            heard.append((result.stage, done, total, bool(front)))

    study = open_study(tmp_path)
    study.run(trials=4, qat=2, progress=Watch())
    assert heard == [
        ("sensitivity", 0, 9),  # the reference, and 4 layers with 2 changes each
        ("ptq", 0, 4),
        *[("ptq", n, 4, True) for n in (1, 2, 3, 4)],
        ("qat", 0, 2),
        *[("qat", n, 2, True) for n in (1, 2)],
    ]
    numbers: list[int] = []
    study.run(trials=6, progress=lambda result: numbers.append(result.number))
    assert len(numbers) == 2


def test_fusion_is_recorded_and_priced(tmp_path: Path) -> None:
    """A pool behind a convolution: fused, the convolution writes a quarter; the totals are those of `evaluate`."""
    conv = Layer(name="conv", module="conv", dims=dict(K=8, C=4, OY=8, OX=8))
    pool = VectorOp(name="pool", kind="pool", elements_in=512, elements_out=128, fused=True)
    last = Layer(name="last", module="last", dims=dict(K=8, C=8, OY=4, OX=4))
    nodes = [Port(name="in", kind="input"), conv, pool, last, Port(name="out", kind="output")]
    shapes = [(1, 4, 8, 8), (1, 8, 8, 8), (1, 8, 4, 4), (1, 8, 4, 4)]
    edges = [
        (a.name, b.name, Tensor(name=a.name, shape=shape))
        for (a, b), shape in zip(itertools.pairwise(nodes), shapes, strict=True)
    ]
    graph = LayerGraph("pooled", nodes, edges)
    space = Space.from_graph(graph, frozen=None)
    prices = {}
    for fuse in (True, False):
        study = Study.create_or_resume(
            tmp_path / str(fuse), graph=graph, space=space, evaluate=lambda config: 0.5, accelerator="edge_npu",
            fuse=fuse,
        )  # fmt: skip
        assert read_manifest(study.folder)["fuse"] is fuse
        config = space.config(space.uniform_points()[0])
        prices[fuse] = study.pricer().costs(config)["energy_pj"]
        assert prices[fuse] == evaluate(graph, load_accelerator("edge_npu"), config, fuse=fuse).energy_pj
    assert prices[True] < prices[False]


def test_a_study_of_an_earlier_version_was_fused(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    old = dict(read_manifest(study.folder))
    del old["fuse"]
    write_manifest(study.folder, old)
    open_study(tmp_path)
    with pytest.raises(ConfigError, match="used fuse true, now false"):
        open_study(tmp_path, fuse=False)


# ---- several accelerators ------------------------------------------------------------------------


def test_costs_on_several_accelerators_are_objectives(tmp_path: Path) -> None:
    study = open_study(
        tmp_path / "two", accelerator=["eyeriss", "edge_npu"], objectives=["accuracy", "energy", "energy@edge_npu"]
    )
    study.run(trials=4, qat=5)
    for name, key in (("eyeriss", "energy_pj"), ("edge_npu", "energy_pj@edge_npu")):
        for result in study.results():
            config = CompressionConfig.from_dict(result.config)
            cost = evaluate(GRAPH, load_accelerator(name), config)
            assert result.costs[key] == pytest.approx(cost.energy_pj, rel=1e-12)
    assert [axis.label for axis in study.objectives] == ["Accuracy", "Energy", "Energy (edge_npu)"]
    with pytest.raises(ConfigError, match=r"energy@edge_npo needs a further accelerator of that name.*edge_npu"):
        open_study(tmp_path / "x", accelerator=["eyeriss", "edge_npu"], objectives=["accuracy", "energy@edge_npo"])
    with pytest.raises(ConfigError, match="each name may be given once, but got eyeriss, eyeriss"):
        open_study(tmp_path / "y", accelerator=["eyeriss", "eyeriss"])


def test_batches_of_another_width_are_said(tmp_path: Path) -> None:
    said: list[str] = []

    class Watch(Observer):
        def message(self, text: str) -> None:
            said.append(text)

    class Many(ToyScorer):
        batch_size = 3

        def qat_many(self, configs: list[CompressionConfig], seeds: list[int]) -> list[Any]:
            return [self.qat(config, seed) for config, seed in zip(configs, seeds, strict=True)]

    open_study(tmp_path).run(qat=2, progress=Watch())
    open_study(tmp_path).run(qat=3, progress=Watch())
    assert not any("Batches" in text for text in said)
    open_study(tmp_path, Many()).run(qat=6, progress=Watch())
    assert [text for text in said if "Batches" in text] == [
        "Batches were of 1 candidates so far, and are of 3 now: the front may differ from that of a run that was "
        "never interrupted."
    ]
