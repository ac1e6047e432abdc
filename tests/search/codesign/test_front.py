"""Configurations on designs: every point priced alone, the front by brute force, and a study that is killed."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from hwmodel.errors import ConfigError
from search.codesign.explore import explore_run
from search.codesign.front import every_pair
from search.designs.table import DesignTable
from search.front.limits import parse_limits
from search.propose.many import ManyCosts, layout_of
from search.propose.pricing import Pricer
from search.study import Study
from tests.search.codesign.helpers import (
    GRAPH,
    SPACE,
    brute_front,
    chip_file,
    designs_in,
    open_study,
    priced_alone,
)
from tests.search.helpers import Count, ToyScorer
from workloads.compress.config import CompressionConfig

KEYS = ("energy_pj", "latency_s", "area_mm2")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codesign")


@pytest.fixture(scope="module")
def study(place: Path) -> Study:
    """Finished: 6 candidates without training, 8 finetuned, on six designs, for all four objectives."""
    found = open_study(place / "run", designs_in(place), objectives=["accuracy", "energy", "latency", "area"])
    found.run(trials=6, qat=8)
    (found.folder / "graph.json").write_text(GRAPH.to_json())
    return found


def finetuned(study: Study) -> list:
    return [result for result in study.results() if result.stage == "qat"]


def test_every_point_is_what_the_chip_costs_alone(place: Path, study: Study) -> None:
    results = finetuned(study)
    alone = priced_alone(place, study.designs, results)
    pairs = every_pair(study.design_table(), results)
    assert len(pairs) == len(alone) == 8 * 6
    for pair in pairs:
        for key, value in alone[pair.result.number, pair.design.number].items():
            assert pair.result.costs[key] == value, (pair.design.name, key)
    assert len({pair.result.costs["energy_pj"] for pair in pairs}) == 48


def test_the_front_is_that_of_brute_force(place: Path, study: Study) -> None:
    results = finetuned(study)
    beliefs = study.beliefs()
    losses = {
        pair: (-beliefs[pair[0]].mean, *(costs[key] for key in KEYS))
        for pair, costs in priced_alone(place, study.designs, results).items()
    }
    front = study.design_front()
    assert {(pair.result.number, pair.design.number) for pair in front} == brute_front(losses)
    assert [pair.result.costs["energy_pj"] for pair in front] == sorted(p.result.costs["energy_pj"] for p in front)
    assert len({pair.design.number for pair in front}) > 1
    assert {result.number for result in study.front()} == {pair.result.number for pair in front}
    assert all(result in results for result in study.front())  # with the costs of the ledger


def test_the_ledger_holds_the_reference_design(place: Path, study: Study) -> None:
    """The least product of the cost objectives over the designs."""
    alone = priced_alone(place, study.designs, finetuned(study))
    for result in finetuned(study):
        on_each = [alone[result.number, design.number] for design in study.designs]
        best = min(on_each, key=lambda costs: math.prod(costs[key] for key in KEYS))
        assert {key: result.costs[key] for key in best} == best


def test_what_is_finetuned_is_kept_for_every_pair_of_the_front(tmp_path: Path, place: Path) -> None:
    """A candidate that is on the front with another design than its reference one keeps its weights."""
    import torch

    class Weights(ToyScorer):
        def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, torch.nn.Module]:
            return super().qat(config, seed)[0], torch.nn.Linear(1, 1)

    found = open_study(tmp_path, designs_in(place), Weights(), objectives=["accuracy", "energy", "latency"])
    found.run(qat=8)
    files = {path.name.split("-")[0] for path in (tmp_path / "checkpoints").iterdir()}
    assert files == {f"{result.number:04d}" for result in found.front()}


@pytest.mark.parametrize("objectives", [["energy"], ["energy", "latency"], ["latency", "area"]])
def test_a_table_of_designs_is_one_of_reference_designs(place: Path, objectives: list[str]) -> None:
    """For every candidate of the space, one by one and at once; with one objective its least value."""
    designs, keys = designs_in(place), [{"energy": "energy_pj", "latency": "latency_s", "area": "area_mm2"}[name]
                                        for name in objectives]  # fmt: skip
    table = DesignTable.build(GRAPH, designs, SPACE.choices(), objectives=keys)
    layout = layout_of(SPACE)
    rows = np.array(list(itertools.product(*map(range, layout.sizes))))[::7]
    many = ManyCosts(Pricer(GRAPH, table), SPACE, KEYS)
    costs = many(rows)
    singles = [t.totals(many._indices(table)(rows)) for t in table.tables]
    each = np.stack(
        [np.stack([s["energy_pj"], s["latency_s"], np.full(len(rows), d.area_mm2)], 1)
         for s, d in zip(singles, designs, strict=True)]
    )  # fmt: skip
    product = np.prod(each[:, :, [KEYS.index(key) for key in keys]], axis=2)
    assert (costs == each[product.argmin(axis=0), np.arange(len(rows))]).all()
    assert (many.least(rows) == each.min(axis=0)).all()
    if len(keys) == 1:
        assert (costs[:, KEYS.index(keys[0])] == each[:, :, KEYS.index(keys[0])].min(axis=0)).all()
    one = Pricer(GRAPH, table).costs(SPACE.config(layout.params(rows[3].tolist())))
    assert [one[key] for key in KEYS] == costs[3].tolist()


def test_limits_leave_designs_out(tmp_path: Path, place: Path) -> None:
    designs = designs_in(place)
    areas = sorted(design.area_mm2 for design in designs)
    limits = {"area": f"<= {areas[2]} mm2"}
    found = open_study(tmp_path / "area", designs, limits=limits)
    found.run(qat=5)
    assert {pair.design.area_mm2 for pair in found.design_front()} <= set(areas[:3])
    assert all(result.costs["area_mm2"] <= areas[2] for result in found.results())
    assert parse_limits(limits).costs[0].most == areas[2]
    with pytest.raises(ConfigError, match=re.escape(f"limits: area <= {areas[0] / 2:.6g} mm² must hold")):
        open_study(tmp_path / "none", designs, limits={"area": areas[0] / 2}).run(qat=2)


def test_limits_that_designs_meet_one_by_one_only_are_said_as_such(tmp_path: Path, place: Path) -> None:
    """The smallest chip is too slow and the fastest too large: each limit alone can be met."""
    designs = designs_in(place)
    table = DesignTable.build(GRAPH, designs, SPACE.choices(), objectives=["energy_pj"])
    layout = layout_of(SPACE)
    rows = np.array(list(itertools.product(*map(range, layout.sizes))))
    fastest = ManyCosts(Pricer(GRAPH, table), SPACE, ["latency_s"]).least(rows).min()
    limits = {"latency": float(fastest), "area": min(design.area_mm2 for design in designs)}
    with pytest.raises(ConfigError, match=r"limits: none of 81 candidates is within all of them"):
        open_study(tmp_path, designs, limits=limits).run(qat=2)


@pytest.mark.parametrize("sampler", ["front", "nsga2"])
def test_a_killed_study_ends_as_an_undisturbed_one(tmp_path: Path, place: Path, sampler: str) -> None:
    class Killed(BaseException):
        pass

    class Dying(ToyScorer):
        def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, None]:
            if len(self.qat_calls) == 3:
                raise Killed
            return super().qat(config, seed)

    options = {"sampler": sampler, "name": "same"}
    whole = open_study(tmp_path / "whole", designs_in(place), **options)
    whole.run(trials=5, qat=7)
    with pytest.raises(Killed):
        open_study(tmp_path / "killed", designs_in(place), Dying(), **options).run(trials=5, qat=7)
    again = open_study(tmp_path / "killed", str(place / "npu.yaml"), **options)
    assert 0 < len([r for r in again.results() if r.stage == "qat"]) < 7
    again.run(trials=5, qat=7)
    rows = [[pair.row() for pair in found.design_front()] for found in (whole, again)]
    assert rows[0] == rows[1]
    assert [(r.key, r.correct, r.costs) for r in whole.results()] == [
        (r.key, r.correct, r.costs) for r in again.results()
    ]


def test_other_ranges_are_another_study(tmp_path: Path, place: Path) -> None:
    open_study(tmp_path / "run", designs_in(place)).run(qat=1)
    other = chip_file(tmp_path, "sweep: {array.X.size: [1, 2]}\n")
    with pytest.raises(ConfigError, match=r"used accelerator 'tiny, 6 designs \(\w{16}\)', now 'tiny, 2 designs"):
        open_study(tmp_path / "run", str(other))


def test_what_designs_do_not_go_with_is_refused(tmp_path: Path, place: Path) -> None:
    designs = designs_in(place)
    with pytest.raises(ValueError, match="has ranges, so it is many designs, and one is needed here"):
        open_study(tmp_path, [str(place / "npu.yaml"), "eyeriss"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="area is the same for every configuration on one chip"):
        open_study(tmp_path, "eyeriss", objectives=["accuracy", "area"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="table: a chip file with ranges needs one for each design"):
        open_study(tmp_path, designs, table=object())
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text((place / "npu.yaml").read_text().replace("    area: 2 um^2/bit\n", ""))
    with pytest.raises(
        ConfigError, match="area: needs the area of every part of 'tiny', but there is none of regs"
    ):
        open_study(tmp_path, str(unknown), objectives=["accuracy", "area"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no ranges, so there is one design"):
        open_study(tmp_path, "loop_nest", objectives=["accuracy", "energy"]).design_front()  # type: ignore[arg-type]


def test_a_finished_run_is_priced_on_other_designs(tmp_path: Path, place: Path, study: Study) -> None:
    """As its own front on its own designs; on others as each costs alone."""
    same = explore_run(study.folder, designs_in(place))
    assert [axis.name for axis in same.objectives] == ["accuracy", "energy", "latency", "area"]
    assert [pair.row() for pair in same.front] == [pair.row() for pair in study.design_front()]
    other = chip_file(tmp_path, "sweep: {array.X.size: [3, 6]}\n")
    found = explore_run(study.folder, other, objectives=["accuracy", "latency"])
    alone = priced_alone(tmp_path, found.designs, finetuned(study))
    assert len(found.pairs) == len(alone) == 16
    for pair in found.pairs:
        assert alone[pair.result.number, pair.design.number].items() <= pair.result.costs.items()
    means = study.beliefs()
    losses = {pair: (-means[pair[0]].mean, costs["latency_s"]) for pair, costs in alone.items()}
    assert {(p.result.number, p.design.number) for p in found.front} == brute_front(losses)
    frame = found.to_dataframe(every=True)
    assert len(frame) == 16
    assert frame["front"].sum() == len(found.front) == len(found.to_dataframe())
    single = explore_run(study.folder, "loop_nest")
    assert len(single.pairs) == 8
    assert len(single.designs) == 1
    assert single.notes == ()


def test_what_cannot_be_explored_is_said(tmp_path: Path, place: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no ledger.jsonl"):
        explore_run(tmp_path, designs_in(place))
    study = open_study(tmp_path / "run", designs_in(place))
    study.run(qat=1)
    with pytest.raises(ConfigError, match=r"holds no graph.json"):
        explore_run(study.folder, designs_in(place))
