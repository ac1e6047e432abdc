"""`hwmodel search` and what follows it, end to end on a small network and random images."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from reports.cli import app
from search.front.objective import resolve_objectives
from search.front.results import ties_of
from search.ledger import read_results
from search.propose.posterior import read_beliefs
from workloads.compress import read_config
from workloads.storage.weights import read_metadata

pytestmark = pytest.mark.usefixtures("plain_figures")

MODEL = '''
import torch
from torch import nn

class Net(nn.Module):
    """Refuses to run with {refused}-bit weights in its second layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        quantizer = getattr(self.middle, "weight_quantizer", None)
        if quantizer is not None and quantizer.bits == {refused}:
            raise RuntimeError("[/red] too coarse")
        x = self.middle(self.conv(x).relu()).relu()
        return self.fc(x.mean((2, 3)))

def build():
    return Net(), (torch.zeros(1, 1, 8, 8),)
'''

SPEC = """
model: net.py:build
data: synthetic
data_options: {{shape: [1, 8, 8], num_classes: 4, train: 64, validation: 40, test: 40}}
accelerator: edge_npu
objectives: [accuracy, avg_w_bits, energy]
space: {{w_bits: [2, 4, 8]}}
search: {{trials: {trials}, qat: 2, test_seeds: 2}}
training: {{float: {{epochs: 20, batch_size: 8, lr: 0.1}}, qat: {{epochs: 1}}}}
"""


def write_spec(folder: Path, *, trials: int = 3, refused: int = 99) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(MODEL.format(refused=refused))
    path = folder / "tiny.yaml"
    path.write_text(SPEC.format(trials=trials))
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished run, and what the command printed."""
    folder = tmp_path_factory.mktemp("search")
    return folder / "run", run("search", write_spec(folder), "--run", folder / "run", "--device", "cpu")


def test_a_search_ends_with_its_files(searched: tuple[Path, Result]) -> None:
    folder, result = searched
    assert result.exit_code == 0, result.output
    names = ["best.yaml", "candidates.csv", "config.yaml", "figures", "graph.json", "layers.csv", "ledger.jsonl",
             "pareto.csv", "report.html", "study.db"]  # fmt: skip
    assert [name for name in names if not (folder / name).exists()] == []
    assert f"✓ report: {folder}/report.html" in result.stdout
    assert "sum(n_l * b_l) / sum(n_l)" in result.stdout
    assert "picked" in result.stdout
    assert "\x1b" not in result.output


def test_progress_is_on_stderr_one_line_per_candidate(searched: tuple[Path, Result]) -> None:
    folder, result = searched
    lines = [line for line in result.stderr.splitlines() if re.match(r"(ptq|qat) \d+/\d+ · ", line)]
    results = read_results(folder)
    assert len(lines) == sum(item.origin != "mutation" or item.stage == "qat" for item in results)
    assert not re.search(r"^(ptq|qat) ", result.stdout, re.M)


def test_the_same_search_again_is_the_same(searched: tuple[Path, Result]) -> None:
    folder, first = searched
    ledger = (folder / "ledger.jsonl").read_bytes()
    again = run("resume", folder, "--device", "cpu")
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert (folder / "ledger.jsonl").read_bytes() == ledger


def test_the_report_as_json(searched: tuple[Path, Result]) -> None:
    folder, _ = searched
    result = run("report", folder, "--json")
    data = json.loads(result.stdout)
    assert data["num_candidates"] == len(read_results(folder))
    assert data["picked"] in [row["number"] for row in data["front"]]


def test_trials_and_qat_by_option(tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "more")
    result = run("search", spec, "--run", tmp_path / "r", "--trials", 2, "--qat", 0, "--json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["num_candidates"] == 2
    assert {item.stage for item in read_results(tmp_path / "r")} == {"ptq"}


def test_a_space_that_changed_is_refused(searched: tuple[Path, Result]) -> None:
    folder, _ = searched
    spec = folder.parent / "wider.yaml"
    text = (folder.parent / "tiny.yaml").read_text()
    spec.write_text("name: tiny\n" + text.replace("[2, 4, 8]", "[2, 3, 4, 8]"))
    result = run("search", spec, "--run", folder)
    assert result.exit_code == 3
    assert "now [2,3,4,8]" in result.stderr
    assert "--extend keeps its" in result.stderr


@pytest.mark.parametrize("kind", ["json", "yaml", "csv"])
def test_export_gives_the_bits_of_every_layer(searched: tuple[Path, Result], kind: str, tmp_path: Path) -> None:
    from hwmodel.chip.yamlfile import Schema, parse_yaml

    class Exported(Schema):
        model: str
        fingerprint: str
        weights: str
        layers: dict[str, Any]
        metrics: dict[str, Any]
        provenance: dict[str, Any]

    folder, _ = searched
    path = tmp_path / f"out.{kind}"
    assert run("export", folder, "--format", kind, "-o", path).exit_code == 0
    text = path.read_text()
    assert run("export", folder / "best.yaml", "--format", kind).stdout == text
    config = read_config(folder / "best.yaml").config
    if kind == "csv":
        rows = [line.split(",") for line in text.splitlines()]
        column = rows[0].index("w_bits")
        assert {row[0]: int(row[column]) for row in rows[1:]} == {n: c.w_bits for n, c in config.layers.items()}
        return
    data = json.loads(text) if kind == "json" else parse_yaml(text, Exported).model_dump()
    assert {name: item["w_bits"] for name, item in data["layers"].items()} == {
        name: choice.w_bits for name, choice in config.layers.items()
    }
    assert Path(data["weights"]).is_file()


@pytest.mark.parametrize("kind", ["onnx", "qonnx", "safetensors"])
def test_export_of_the_compressed_model(searched: tuple[Path, Result], kind: str, tmp_path: Path) -> None:
    folder, _ = searched
    path = tmp_path / ("m.safetensors" if kind == "safetensors" else "m.onnx")
    if kind != "safetensors":
        pytest.importorskip("onnxscript")
    result = run("export", "--config", folder / "best.yaml", "--format", kind, "-o", path, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["num_bytes"] == path.stat().st_size
    if kind == "safetensors":
        assert data["ratio"] == data["float_bytes"] / data["num_bytes"]
        assert "equal to the last bit" in run("export", folder, "--format", kind, "-o", path).stdout
    else:
        assert data["comparison"]["same_top1"] == 1.0
        assert data["comparison"]["count"] == 40  # the whole validation split


def test_export_for_other_tools(searched: tuple[Path, Result]) -> None:
    from workloads.export import config_from_haq, config_from_hawq

    folder, _ = searched
    config = read_config(folder / "best.yaml").config
    bits = json.loads(run("export", folder, "-f", "bits").stdout)
    widths = {name: (choice.w_bits, choice.a_bits) for name, choice in config.layers.items()}
    for read, kind in ((config_from_haq, "haq"), (config_from_hawq, "hawq")):
        again = read(bits[kind], bits["layers"])
        assert {name: (c.w_bits, c.a_bits) for name, c in again.layers.items()} == widths
    assert json.loads(run("export", folder, "-f", "torchao").stdout)["_type"] == "FqnToConfig"
    brevitas = json.loads(run("export", folder, "-f", "brevitas").stdout)
    assert {name: item["weight"]["bit_width"] for name, item in brevitas.items()} == {
        name: w_bits for name, (w_bits, _) in widths.items()
    }


def test_export_says_what_it_needs(searched: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = searched
    result = run("export", folder, "-f", "onnx")
    assert (result.exit_code, "-o model.onnx" in result.stderr) == (2, True)
    result = run("export", folder, "-f", "qonx")
    assert (result.exit_code, "Did you mean" in result.stderr) == (2, True)
    assert run("export").exit_code == run("export", folder, "--config", folder / "best.yaml").exit_code == 2
    alone = tmp_path / "alone.yaml"
    alone.write_text((folder / "best.yaml").read_text())
    result = run("export", alone, "-f", "safetensors", "-o", tmp_path / "m.safetensors")
    assert result.exit_code == 3


def test_diff_of_two_configurations(searched: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = searched
    assert run("diff", folder, folder / "best.yaml").stdout.startswith("0 differences")
    bits = read_config(folder / "best.yaml").config.layers["conv"].w_bits
    other = tmp_path / "other.yaml"
    other.write_text((folder / "best.yaml").read_text().replace(f"w_bits: {bits}", "w_bits: 7"))
    data = json.loads(run("diff", folder, other, "--json").stdout)
    assert {"module": "conv", "field": "w_bits", "first": bits, "second": 7} in data
    assert f"conv.w_bits: {bits} -> 7" in run("diff", folder, other).stdout


def test_finetune_starts_where_the_search_ended(searched: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = searched
    output = tmp_path / "out.safetensors"
    args = ("finetune", "--config", folder / "best.yaml", "--epochs", 1, "-o", output, "--device", "cpu")
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["reproduced"] is True
    assert data["before"] == data["recorded"]
    assert output.is_file()
    assert "as recorded" in run(*args).stdout


def test_finetune_takes_training_options_and_resumes(searched: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = searched
    output = tmp_path / "out.safetensors"
    base = ("finetune", "--config", folder / "best.yaml", "-o", output, "--device", "cpu")
    options = (
        "--schedule", "multistep", "--milestones", "1,2", "--lr", 0.02, "--warmup", 0, "--ema", 0.9, "--clip", 1,
        "--crop", 1, "--flip", "--amp", "bf16", "--memory-format", "channels_last", "--set",
        "gamma=0.5",
    )  # fmt: skip
    first = run(*base, *options, "--epochs", 2)
    assert first.exit_code == 0, first.output
    assert "epoch 2/2 · loss" in first.stderr
    again = run(*base, "--resume", "--epochs", 3, "--json")  # the settings are those of the run
    assert again.exit_code == 0, again.output
    assert "epoch 2/3" not in again.stderr
    assert "epoch 3/3 · loss" in again.stderr
    rows = pd.read_csv(json.loads(again.stdout)["curves"])
    assert list(rows.epoch) == [1, 2, 3]
    assert rows.lr.tolist() == pytest.approx([0.02, 0.01, 0.005])
    assert rows.ema_validation_accuracy.notna().all()
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    notes = read_metadata(output)
    assert json.loads(notes["settings"])["milestones"] == [1.0, 2.0]
    assert json.loads(notes["settings"])["memory_format"] == "channels_last"
    assert notes["device"].startswith("cpu, ")
    assert float(notes["wall_s"]) >= 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--schedule", "multistpe"), 3, "Did you mean 'multistep'?"),
        (("--schedule", "multistep"), 3, "it needs some"),
        (("--milestones", "a,b"), 2, "must be epochs with commas"),
        (("--amp", "fp16"), 3, "Use amp='bf16'"),
        (("--set", "momentun=0.5"), 3, "Did you mean 'momentum'?"),
        (("--set", "momentum"), 2, "must be KEY=VALUE"),
    ],
)
def test_finetune_answers_bad_options(
    searched: tuple[Path, Result], tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    folder, _ = searched
    output = tmp_path / "out.safetensors"
    result = run("finetune", "--config", folder / "best.yaml", "-o", output, "--device", "cpu", *options)
    assert result.exit_code == code, result.output
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert not output.exists()


def test_cost_of_a_configuration_and_of_another_model(searched: tuple[Path, Result]) -> None:
    folder, _ = searched
    best = folder / "best.yaml"
    model = f"{(folder.parent / 'net.py').resolve()}:build"
    result = run("cost", model, "--hw", "edge_npu", "--config", best, "--json")
    assert result.exit_code == 0, result.output
    picked = next(item for item in read_results(folder) if item.number == _picked(folder))
    assert json.loads(result.stdout)["total"]["energy_pj"] == pytest.approx(picked.costs["energy_pj"])
    other = run("cost", "lenet5", "--hw", "edge_npu", "--config", best)
    assert other.exit_code == 3
    assert "names do not match" in other.stderr


def _picked(folder: Path) -> int:
    return int(json.loads(run("report", folder, "--json").stdout)["picked"])


def test_another_pick_and_everything_follows(searched: tuple[Path, Result], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(searched[0], folder)
    front = [row["number"] for row in json.loads(run("report", folder, "--json").stdout)["front"]]
    assert len(front) > 1
    old, new = _picked(folder), next(number for number in front if number != _picked(folder))
    shown = run("pick", folder, new, "--device", "cpu").stdout
    picked = next(item for item in read_results(folder) if item.number == new)
    belief = read_beliefs(folder, read_results(folder), resolve_objectives(["accuracy", "avg_w_bits", "energy"]))[
        new
    ]
    assert shown.startswith(
        f"#{new} picked (was #{old}): {picked.accuracy * 100:.2f} % measured (95 %: {picked.interval}), "
        f"{belief.mean * 100:.2f} % believed, "
    )
    assert read_config(folder / "best.yaml").metrics["believed"] == {
        "mean": belief.mean, "low": belief.interval.low, "high": belief.interval.high,
    }  # fmt: skip
    assert f"best.yaml, weights, tables and report.html follow it. hwmodel export {folder} -f qonnx" in shown
    assert _places_of(folder) == {new}
    data = json.loads(run("pick", folder, old, "--json", "--device", "cpu").stdout)
    assert (data["picked"], data["was"], _places_of(folder)) == (old, new, {old})
    assert 0 < data["believed"] < 1
    assert data["ties"] == list(ties_of(next(r for r in read_results(folder) if r.number == old), [picked]))
    before, uniform = (next(r for r in read_results(folder) if test(r)) for test in (
        lambda r: r.number == old, lambda r: r.origin == "uniform" and r.costs["avg_w_bits"] == 8
    ))  # fmt: skip
    saving = before.costs["energy_pj"] / uniform.costs["energy_pj"] - 1
    again = run("pick", folder, old, "--device", "cpu").stdout
    assert f"#{old} picked (as before): " in again and f"({saving * 100:+.1f} % against uniform 8-bit)" in again
    # the same by --pick, each from the other one
    bits = {name: choice["w_bits"] for name, choice in picked.config["layers"].items()}
    exported = json.loads(run("export", folder, "-f", "json", "--pick", new).stdout)
    assert {name: choice["w_bits"] for name, choice in exported["layers"].items()} == bits
    assert _places_of(folder) == {new}
    assert json.loads(run("report", folder, "--pick", old, "--json").stdout)["picked"] == old
    args = ("--epochs", 0, "-o", tmp_path / "f.safetensors", "--device", "cpu", "--json")
    tuned = run("finetune", "--config", folder / "best.yaml", "--pick", new, *args)
    assert json.loads(tuned.stdout)["before"] == {"correct": picked.correct, "total": picked.total}
    assert _places_of(folder) == {new}


def _places_of(folder: Path) -> set[int]:
    """Which candidates the files of a run call the picked one."""
    pareto = pd.read_csv(folder / "pareto.csv")
    file = read_config(folder / "best.yaml")
    page = re.search(r"Picked: candidate (\d+)", (folder / "report.html").read_text())
    weights = (folder / "checkpoints/best.safetensors").read_bytes()
    own = [r.number for r in read_results(folder) if r.checkpoint and (folder / r.checkpoint).exists()
           and (folder / r.checkpoint).read_bytes() == weights]  # fmt: skip
    keys = {
        result.number for result in read_results(folder) if result.key == file.config.key and result.stage == "qat"
    }
    assert page is not None
    return {*pareto.loc[pareto["picked"], "number"], file.metrics["candidate"], int(page[1]), *own, *keys}


def test_an_interrupted_pick_is_finished_by_the_next_command(searched: tuple[Path, Result], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(searched[0], folder)
    new = next(row["number"] for row in json.loads(run("report", folder, "--json").stdout)["front"]
               if row["number"] != _picked(folder))  # fmt: skip
    (folder / "pick.json").write_text(json.dumps({"number": int(new)}))
    result = run("report", folder, "--json")
    assert json.loads(result.stdout)["picked"] == new
    assert f"Picking candidate {new} was interrupted: finished now." in result.stderr
    assert (_places_of(folder), (folder / "pick.json").exists()) == ({new}, False)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("kne", "Did you mean 'knee'?"),
        ("99", "candidate 99 is not on the front"),
        ("accuracy>1e-9x", "must be a number or a percentage"),
    ],
)
def test_a_pick_of_nothing_changes_nothing(searched: tuple[Path, Result], rule: str, said: str) -> None:
    folder, _ = searched
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for args in (("pick", folder, rule), ("report", folder, "--pick", rule), ("export", folder, "--pick", rule)):
        result = run(*args)
        assert result.exit_code == 3, result.output
        assert said in result.stderr
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    alone = run("export", folder / "layers.csv", "--pick", "knee")
    assert (alone.exit_code, "needs the folder of a run" in alone.stderr) == (2, True)


def test_failed_candidates_end_with_4(tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "fails", refused=2)
    result = run("search", spec, "--run", tmp_path / "run", "--device", "cpu")
    assert result.exit_code == 4, result.output
    failed = [item for item in read_results(tmp_path / "run") if not item.is_done]
    assert failed
    assert f"{len(failed)} of {len(read_results(tmp_path / 'run'))} candidates failed" in result.stdout
    assert "[/red] too coarse" in result.stderr
    assert "too coarse" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_search_resumes_and_loses_nothing(
    searched: tuple[Path, Result], tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    spec = searched[0].parent / "tiny.yaml"
    command = [sys.executable, "-m", "reports.cli", "search", str(spec), "--run", str(folder), "--device", "cpu"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),  # noqa: PLW1509 - under nohup tests ignore SIGHUP
    )  # fmt: skip
    ledger = folder / "ledger.jsonl"
    while process.poll() is None and not (ledger.exists() and ledger.read_bytes()):
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.endswith(f"Interrupted: nothing is lost. hwmodel resume {folder}\n")
    assert "Traceback" not in stderr
    assert stdout == ""
    before = ledger.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    assert run("resume", folder, "--device", "cpu").exit_code == 0
    assert ledger.read_bytes().startswith(before)
    found = [_without_time(item.to_dict()) for item in read_results(folder)]
    assert found == [_without_time(item.to_dict()) for item in read_results(searched[0])]


def _without_time(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "wall_s"}


def test_a_lost_ledger_is_refused_and_rebuilt(searched: tuple[Path, Result], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(searched[0], tmp_path / "run"))
    before = (folder / "ledger.jsonl").read_bytes()
    (folder / "ledger.jsonl").unlink()
    refused = run("resume", folder, "--device", "cpu")
    assert refused.exit_code == 3
    assert f"hwmodel resume {folder} --rebuild" in refused.stderr
    assert run("resume", folder, "--device", "cpu", "--rebuild").exit_code == 0
    assert (folder / "ledger.jsonl").read_bytes() == before


def test_a_full_disk_ends_like_an_interruption(
    searched: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(searched[0], tmp_path / "run"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        stopped = run("resume", folder, "--device", "cpu")
    assert stopped.exit_code == 130
    assert "No space left on device" in stopped.stderr
    assert stopped.stderr.endswith(f"hwmodel resume {folder}\n")


def test_resume_of_no_run_is_3(tmp_path: Path) -> None:
    result = run("resume", tmp_path)
    assert result.exit_code == 3
    assert "Is it the folder of a run?" in result.stderr


def test_a_spec_with_an_unknown_key_is_3(tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("model: lenet5\nobjectivs: [accuracy]\n")
    result = run("search", spec)
    assert result.exit_code == 3
    assert "bad.yaml:2:1 unknown key 'objectivs'. Did you mean 'objectives'?" in result.stderr


def test_strict_bits_refuse_a_space_before_anything_is_written(tmp_path: Path) -> None:
    """The 8-bit multipliers of edge_npu run 2- and 4-bit weights at 8 bits."""
    spec = write_spec(tmp_path)
    result = run("search", spec, "--run", tmp_path / "r", "--strict-bits")
    assert result.exit_code == 3
    assert "layer 'middle' at 2/8 bit on 'edge_npu': multipliers are 8x8 bit" in " ".join(result.output.split())
    assert not (tmp_path / "r" / "config.yaml").exists()
