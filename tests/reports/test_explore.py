"""`hwmodel explore` of networks: tables, files, what is refused; each point is what `hwmodel cost` says."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.errors import ConfigError
from hwmodel.mapper.shared import forget_mappings
from reports.cli import app
from reports.explore.job import parse_set
from search.explore.spec import read_explore_spec
from tests.search.codesign.helpers import CHIP

RANGES = ["--set", "array.X.size=1,2,4", "--set", "memories.buffer.size=512B..2KiB*2"]


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explore") / "npu.yaml"
    path.write_text(CHIP)
    return path


def run(*words: object, code: int = 0) -> str:
    answer = CliRunner().invoke(app, ["explore", *map(str, words)], env={"COLUMNS": "150", "NO_COLOR": "1"})
    assert answer.exit_code == code, answer.output
    return answer.output if code else answer.stdout


def test_every_point_is_what_hwmodel_cost_says(chip: Path, tmp_path: Path) -> None:
    data = json.loads(run("lenet5", "--hw", chip, *RANGES, "--json", "--all"))
    assert data["counts"]["space"] == 9
    assert len(data["all"]) == data["counts"]["priced"]
    space = DesignSpace(chip, [parse_set(text) for text in RANGES[1::2]])
    for point in data["fronts"]["lenet5"]:
        alone = tmp_path / "alone.yaml"
        alone.write_text(space.design(point["design"]).to_yaml())
        forget_mappings()
        cost = CliRunner().invoke(app, ["cost", "lenet5", "--hw", str(alone), "--json"])
        priced = json.loads(cost.stdout)
        assert point["energy_pj"] == priced["total"]["energy_pj"]
        assert point["latency_s"] == priced["total"]["latency_s"]


def test_table_csv_page_and_figure(chip: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"front.{kind}" for kind in ("csv", "html", "png")}
    shown = run(
        "lenet5", "--hw", chip, *RANGES, "--csv", files["csv"], "--html", files["html"], "--plot", files["png"]
    )
    assert "X.size" in shown and "buffer.size" in shown and "knee" in shown
    assert "9 designs: " in shown and "front is that of evaluating every design by itself" in shown
    frame = pd.read_csv(files["csv"])
    assert {"design", "array.X.size", "energy_pj", "latency_s", "area_mm2", "front", "knee"} <= set(frame.columns)
    assert frame["front"].all() and frame["knee"].sum() <= 1
    page = files["html"].read_text()
    assert "<img" in page and "memories.buffer.size" in page and "http" not in page.split("<body>")[1]
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert run("lenet5", "--hw", chip, *RANGES, "--csv", "-").splitlines()[0].startswith("design,array.X.size")


def test_the_same_as_a_file(chip: Path) -> None:
    spec = chip.parent / "explore.yaml"
    spec.write_text(
        "models: [lenet5]\nhw: npu.yaml\nset:\n  array.X.size: [1, 2, 4]\n"
        "  memories.buffer.size: 512 B..2 KiB*2\nbudget: area <= 1 cm^2\n"
    )
    whole = json.loads(run("lenet5", "--hw", chip, *RANGES, "--json"))
    same = json.loads(run(spec, "--json"))
    assert same["fronts"] == whole["fronts"]
    more = json.loads(run(spec, "--set", "array.Y.size=1,2", "--json"))
    assert more["counts"]["space"] == 18


def test_several_networks_and_what_is_typed_wrong(chip: Path, tmp_path: Path) -> None:
    shown = run("lenet5", "resnet8", "--hw", chip, "--set", "array.X.size=1,2", "--per-model")
    assert "\nlenet5\n" in f"\n{shown}" and "\nresnet8\n" in f"\n{shown}"
    for words, text in (
        (["lenet5"], "--hw"),
        ([], "give either models"),
        (["lenet5", "--hw", chip, "--set", "array.X.size"], "must be PATH=VALUES"),
        (["lenet5", "--hw", chip, "--set", "clock=1 MHz;clock=2 MHz"], "names clock twice"),
        (["lenet5", "--hw", chip, "--set", "array.X.size=1", "--run", tmp_path], "give either models"),
        (["--run", tmp_path, "--hw", chip, "--budget", "area<=1 mm2"], "goes with models"),
        (["lenet5", "--hw", chip, "--seed", "0"], "goes with --trials"),
        (["lenet5", "--hw", chip, "--sampler", "tpe"], "goes with --trials"),
        (["lenet5", "resnet8", "--hw", chip, "--input", "1,1,28,28"], "is of one model"),
        (["lenet5", "resnet8", "--hw", chip, "-o", "seed=1"], "is of one model"),
    ):
        assert text in " ".join(run(*words, code=2).split())
    for words, text in (
        (["lenet5", "--hw", chip, "--set", "array.Z.size=1,2"], "'Z' is not among X, Y"),
        (["lenet5", "--hw", chip, "--budget", "area<=1 mJ"], "budget: area"),
        (["lenet5", "--hw", chip, "--set", "array.X.size=1,2; clock=1 MHz"], "as many values each"),
        (["lenet5", "--hw", chip, *RANGES, "--budget", "area<=-1 mm2"], "must be bounded above 0"),
    ):
        assert text in " ".join(run(*words, code=3).split())


@pytest.mark.parametrize(
    "words",
    [
        ["--seed", "0"], ["--density", "0"], ["--no-fuse"], ["--per-model"], ["--trials", "3"], ["--out", "x"],
        ["--jobs", "2"], ["--w-bits", "8"], ["--input", "1,1,28,28"], ["--option", "a=1"], ["--html", "a.html"],
        ["--budget", "area<=1 mm2"],
    ],
)  # fmt: skip
def test_a_finished_run_takes_no_option_that_it_would_ignore(chip: Path, tmp_path: Path, words: list[str]) -> None:
    shown = " ".join(run("--run", tmp_path, "--hw", chip, *words, code=2).split())
    assert "goes with models, not with --run" in shown and words[0] in shown


def test_shapes_of_an_onnx_file_by_name(chip: Path, tmp_path: Path) -> None:
    """They are read as those of `hwmodel cost`: what is wrong is that there is no such file."""
    text = " ".join(run(tmp_path / "net.onnx", "--hw", chip, "--input", "ids=1,128;n=4", code=3).split())
    assert "net.onnx" in text


def test_paths_of_a_file_lead_from_its_folder(chip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though another file of the name lies where the command is called."""
    folder, elsewhere = tmp_path / "job", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "npu.yaml").write_text(chip.read_text())
    (elsewhere / "npu.yaml").write_text("name: another\n")
    (folder / "nets.py").write_text("")
    (folder / "net.onnx").write_text("")
    spec = folder / "explore.yaml"
    spec.write_text("models: [nets.py:build, net.onnx, lenet5]\nhw: npu.yaml\nout: run\n")
    monkeypatch.chdir(elsewhere)
    found = read_explore_spec("../job/explore.yaml")
    assert Path(found.hw).samefile(folder / "npu.yaml")
    assert found.models == [f"{folder / 'nets.py'}:build", str(folder / "net.onnx"), "lenet5"]
    assert Path(str(found.out)).resolve() == folder / "run"
    spec.write_text("models: [lenet5]\nhw: edge_npu\n")
    assert read_explore_spec(spec).hw == "edge_npu"
    for text, key in (
        ("models: [lenet5]\nhw: other.yaml\n", "hw: 'other.yaml' is not a file"),
        ("models: [mine.py:net]\nhw: edge_npu\n", "models: 'mine.py' is not a file"),
    ):
        spec.write_text(text)
        with pytest.raises(ConfigError, match=key):
            read_explore_spec(spec)
    spec.write_text("models: [lenet5]\nhw: edge_npu\nseed: 3\n")
    assert "goes with --trials" in " ".join(run(spec, code=2).split())


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("array.X.size=8,16", {"array.X.size": [8, 16]}),
        ("memories.m.size=64KiB..1MiB*2", {"memories.m.size": "64KiB..1MiB*2"}),
        ("a=1, 2;b=0.4 pJ/bit,0.6 pJ/bit", {"a": [1, 2], "b": ["0.4 pJ/bit", "0.6 pJ/bit"]}),
        ("array.X.dims=[K, G], [K]", {"array.X.dims": [["K", "G"], ["K"]]}),
    ],
)
def test_ranges_as_they_are_typed(text: str, ranges: dict[str, object]) -> None:
    assert parse_set(text) == ranges
    with pytest.raises(typer.BadParameter):
        parse_set(text.replace("=", ""))
