"""What a whole job on a chip file with ranges leaves, and what its commands say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwmodel import evaluate, load_accelerator
from hwmodel.csvfile import read_csv
from hwmodel.errors import ConfigError
from hwmodel.network.graph import LayerGraph
from reports.cli import app
from reports.run.folder import read_run
from search.choosing import INTENT
from search.front.picking import NoCandidateError
from search.job import finish_pick, pick_job, resume_job, run_job
from search.spec import parse_spec
from tests.search.codesign.helpers import chip_file
from tests.search.conftest import NET, SPEC
from workloads.compress.config_file import read_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("swept")
    (place / "net.py").write_text(NET)
    chip_file(place)
    text = SPEC.format(trials=5, qat=4, epochs=1, uniform="[]").replace(
        "accelerator: loop_nest", "accelerator: npu.yaml"
    )
    text = text.replace("[accuracy, energy]", "[accuracy, energy, latency, area]").replace(
        "test_seeds: 2", "test_seeds: 1"
    )
    run_job(parse_spec(text, folder=place), place / "run", device="cpu")
    return place / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_the_folder_names_the_design(finished: Path) -> None:
    best = read_config(finished / "best.yaml")
    chip = load_accelerator(finished / "best_chip.yaml")
    assert best.provenance.accelerator.fingerprint == chip.fingerprint
    graph = LayerGraph.from_json((finished / "graph.json").read_text())
    cost = evaluate(graph, chip, best.config)
    assert best.metrics["costs"]["energy_pj"] == cost.energy_pj
    assert best.metrics["costs"]["latency_s"] == cost.latency_s
    front = read_csv(finished / "pareto.csv")
    picked = front[front["picked"]].iloc[0]
    assert len(front[front["picked"]]) == 1
    assert picked["design"] == best.metrics["design"]["number"]
    values = best.metrics["design"]["values"]
    assert [picked[path] for path in values] == list(values.values())
    assert front["design"].nunique() > 1
    assert not front.duplicated(["number", "design"]).any()
    every = read_csv(finished / "designs.csv")
    marked = every[every["front"]]
    assert set(zip(marked["number"], marked["design"], strict=True)) == set(
        zip(front["number"], front["design"], strict=True)
    )
    assert every["number"].nunique() == 4


def test_the_report_reads_it(finished: Path) -> None:
    run = read_run(finished)
    front = read_csv(finished / "pareto.csv")
    shown = run.candidates[run.candidates["front"]]
    assert sorted(zip(shown["number"], shown["design"], strict=True)) == sorted(
        zip(front["number"], front["design"], strict=True)
    )
    assert run.candidates["picked"].sum() == 1
    assert run.cost is not None
    assert run.picked_row["energy_pj"] == run.cost.energy_pj
    assert not any("Costs per layer are those of" in warning for warning in run.warnings)


def test_a_pick_on_a_design(run: Path) -> None:
    front = read_csv(run / "pareto.csv")
    row = front[~front["picked"]].iloc[-1]
    number, design = int(row["number"]), int(row["design"])
    picked = pick_job(run, number, design=design, device="cpu")
    assert picked.costs["energy_pj"] == row["energy_pj"]
    assert read_config(run / "best.yaml").metrics["design"]["number"] == design
    resume_job(run, device="cpu")  # keeps it
    assert read_config(run / "best.yaml").metrics["design"]["number"] == design
    with pytest.raises(NoCandidateError, match="no candidate of the front is on design 99, only on"):
        pick_job(run, "knee", design=99, device="cpu")
    (run / INTENT).write_text(json.dumps({"number": number, "design": design}))
    finish_pick(run, device="cpu")
    assert read_config(run / "best.yaml").metrics["design"]["number"] == design
    assert not (run / INTENT).exists()


def test_one_chip_has_no_design_to_pick(job: object, place: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(place / "run", tmp_path / "run")
    with pytest.raises(ConfigError, match="pick: there is one design"):
        pick_job(copy, "knee", design=0, device="cpu")


@pytest.mark.usefixtures("plain_figures")
def test_commands(finished: Path, tmp_path: Path) -> None:
    chip = str(finished.parent / "npu.yaml")
    runner = CliRunner()
    shown = runner.invoke(app, ["report", str(finished)])
    assert shown.exit_code == 0, shown.output
    assert "6 designs of array.X.size, memories.buffer.size" in shown.output
    explored = runner.invoke(app, ["explore", "--run", str(finished), "--hw", chip, "--json"])
    assert explored.exit_code == 0, explored.output
    data = json.loads(explored.stdout)
    front = read_csv(finished / "pareto.csv")
    assert [(row["number"], row["design"], row["energy_pj"]) for row in data["front"]] == [
        *zip(front["number"], front["design"], front["energy_pj"], strict=True)
    ]
    assert [design["number"] for design in data["designs"]] == list(range(6))
    csv = tmp_path / "all.csv"
    table = runner.invoke(app, ["explore", "--run", str(finished), "--hw", chip, "--all", "--csv", str(csv)])
    assert table.exit_code == 0, table.output
    assert len(read_csv(csv)) == 4 * 6
    assert "4 configurations of" in table.output
    checked = runner.invoke(app, ["hw", "check", chip, "--json"])
    assert [row["number"] for row in json.loads(checked.stdout)["designs"]] == list(range(6))
    refused = runner.invoke(app, ["cost", "lenet5", "--hw", chip])
    assert refused.exit_code == 3
    assert "has ranges, so it is many designs" in refused.output
