"""The costs are one table: a row added to it is asked for, priced, written, shown and drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hwmodel import CostTable, evaluate, load_accelerator
from hwmodel.network.layer import Layer
from search.front.costs import COSTS, Cost, in_tables
from search.front.objective import OBJECTIVES
from search.propose.pricing import ModelTotals, Pricer
from search.space import Space
from tests.search.helpers import make_graph
from workloads.compress.config import CompressionConfig, LayerChoice

ROOT = Path(__file__).parents[2]

#: Run apart, so that the row is there before anything reads the table.
ADD_ONE = """
import csv, sys
from pathlib import Path
from search.front import costs

costs.COSTS += (
    costs.Cost(
        key="edp_pj_s", name="edp", unit="pJ s", label="EDP", axis="Energy-delay product", shown=("J s", 1e-12),
        compute=lambda totals: totals.energy_pj * totals.latency_s,
    ),
)

import optuna
from reports import plot_pareto, write_report
from reports.run.folder import read_run
from reports.terminal.searchtables import front_table
from search import Space, Study, parse_spec, pick
from search.outputs import RunOutputs
from tests.search.helpers import ToyScorer, ToyTable, make_graph
from workloads.training import Accuracy

folder, graph = Path(sys.argv[1]), make_graph()
spec = parse_spec("model: resnet8\\naccelerator: eyeriss\\nobjectives: [accuracy, edp]\\n")
study = Study.create_or_resume(
    folder, graph=graph, space=Space.from_graph(graph), evaluate=ToyScorer(), objectives=spec.objectives,
    table=ToyTable(),
)
study.run(trials=5)
for result in study.results():
    assert result.costs["edp_pj_s"] == result.costs["energy_pj"] * result.costs["latency_s"]
cheapest = min(study.front(), key=lambda result: result.costs["edp_pj_s"])
assert study.pick("cheapest") == cheapest
assert study.pick(f"edp<={cheapest.costs['edp_pj_s']!r}") == cheapest

RunOutputs(
    folder=folder, graph=graph, accelerator=None, objectives=study.objectives, results=study.results(),
    front=study.front(), picked=cheapest, float_accuracy=Accuracy(correct=9, total=10), tests=(),
).write()
for name in ("pareto.csv", "candidates.csv"):
    assert "edp_pj_s" in next(csv.reader((folder / name).open())), name
copy = optuna.load_study(study_name=f"{study.name}-ptq", storage=f"sqlite:///{folder / 'study.db'}")
assert copy.metric_names == ["accuracy", "edp"]

page = write_report(study).read_text()
assert ">EDP<" in page and "J s" in page and "energy-delay product" in page
assert (folder / "figures" / "pareto_edp.png").exists()
assert "EDP" in [column.header for column in front_table(read_run(study)).columns]
assert plot_pareto(study, x="edp_pj_s").get_xlabel().startswith("Energy-delay product [")
"""


def test_a_cost_is_added_in_one_place(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ADD_ONE, str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_keys_and_names_are_distinct_and_no_other_list_names_a_cost() -> None:
    assert len({cost.key for cost in COSTS}) == len({cost.name for cost in COSTS}) == len(COSTS)
    assert set(OBJECTIVES) == {"accuracy"} | {cost.name for cost in COSTS if cost.role == "objective"}
    assert [cost.role == "objective" for cost in in_tables()] == sorted(
        (cost.role == "objective" for cost in in_tables()), reverse=True
    )


@pytest.mark.parametrize("cost", [cost for cost in COSTS if not cost.needs_designs], ids=lambda cost: cost.key)
def test_table_and_evaluation_give_every_cost_alike(cost: Cost) -> None:
    graph, chip = make_graph(), load_accelerator("loop_nest")
    space = Space.from_graph(graph, w_bits=(3, 8), density=(0.5, 1.0))
    config = space.config(space.point([0] * len(space.parameters)))
    table = CostTable.build(graph, chip, space.choices())
    exact = evaluate(graph, chip, config)
    without = Pricer(graph, None).costs(config)
    value = Pricer(graph, table).costs(config)[cost.key]
    if cost.key != "avg_w_bits":  # a definition of the configuration, not a cost of a network
        assert value == cost.of(exact)
    assert (cost.key in without) is not cost.needs_accelerator
    if cost.key in ("avg_w_bits", "bops"):  # the stored size also depends on the chip: indices of zeros
        assert value == pytest.approx(without[cost.key])


def test_without_an_accelerator_each_stored_weight_counts_once_and_removed_filters_do_not() -> None:
    graph = make_graph()
    name = graph.modules[1]
    layer = next(layer for layer in graph.layers if layer.module == name)
    config = CompressionConfig(
        {m: LayerChoice(w_bits=8, a_bits=8) for m in graph.modules}
        | {name: LayerChoice(w_bits=4, a_bits=2, density=0.5, pattern="filter")}
    )
    others = [other for other in graph.layers if other.module != name]
    totals = ModelTotals.of(graph, config)
    assert totals.bops == sum(other.macs * 64 for other in others) + layer.macs / 2 * 4 * 2
    assert totals.weight_bits == sum(other.weights * 8 for other in others) + layer.weights / 2 * 4


def test_weights_of_one_module_that_are_stored_apart_all_count() -> None:
    """The projections of an attention module: one module, several parameters."""
    from dataclasses import replace

    from hwmodel.network.graph import LayerGraph

    first, second = make_graph().layers[1:3]
    parts = [
        replace(first, name="q", module="attention", parameter="q"),
        replace(second, name="k", module="attention", parameter="k"),
        replace(second, name="again", module="attention", parameter="k"),
    ]
    graph = LayerGraph("parts", parts, [])
    config = CompressionConfig({"attention": LayerChoice(w_bits=4, a_bits=8)})
    weights: list[Layer] = parts[:2]
    assert ModelTotals.of(graph, config).weight_bits == sum(layer.weights * 4 for layer in weights)
