"""The command line: what it prints where, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hwmodel import evaluate, list_accelerators, load_accelerator
from reports.cli import app
from reports.jobs.arguments import parse_options
from workloads import load_model_with_input, trace

HEAVY = ("torch", "optuna", "matplotlib", "pandas", "numpy", "networkx", "jinja2", "scipy")  # typer has pydantic

MODEL_FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.extra = nn.ModuleDict({"[/0]<script>": nn.Conv2d(8, 8, 1)})
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = self.extra["[/0]<script>"](self.conv(x).relu())
        return self.fc(x.mean((2, 3)))

def build():
    return Net(), (torch.zeros(1, 3, 8, 8),)
"""


def run(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def run_json(*args: str) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def in_a_process(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "reports.cli", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def model_file(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(MODEL_FILE)
    return f"{path}:build"


# ---- help and usage ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), ("cost",), ("ladder",), ("search",), ("hw",)])
def test_help_imports_nothing_heavy(command: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom reports.cli import app\n"
        f"try:\n    app({[*command, '--help']!r})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Usage" in done.stdout


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    names = [
        "trace", "cost", "map", "search", "resume", "report", "export", "diff", "finetune", "ladder", "hw",
        "doctor",
    ]  # fmt: skip
    assert [name for name in names if f" {name} " not in text] == []


def test_version() -> None:
    from importlib.metadata import version

    assert run("--version").stdout == f"hwmodel {version('hwmodel')}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("cots",), "Did you mean 'cost'?"),
        (("cost",), "Missing argument 'MODEL'"),
        (("cost", "lenet5"), "Missing option '--hw'"),
        (("cost", "lenet5", "--hw", "eyeriss", "--w-bits", "0"), "--w-bits"),
        (("cost", "lenet5", "--hw", "eyeriss", "--optimize", "enrgy"), "Did you mean 'energy'?"),
        (("trace", "lenet5", "--input", "1,x"), "must be integers >= 1"),
        (("trace", "lenet5", "--input", "224"), "must be the batch"),
        (("trace", "lenet5", "--option", "width"), "must be KEY=VALUE"),
        (("cost", "lenet5", "--hw", "eyeriss", "--w-bits", "4", "--config", "best.yaml"), "not both"),
    ],
)
def test_usage_errors_are_2_and_on_stderr(args: tuple[str, ...], said: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("cost", "lenet", "--hw", "eyeriss"), "Did you mean 'lenet5'?"),
        (("cost", "lenet5", "--hw", "eyeris"), "Did you mean eyeriss? hwmodel hw list shows all."),
        (("cost", "lenet5", "--hw", "eyeriss", "--density", "1.5"), "0 < w <= 1"),
        (("cost", "lenet5", "--hw", "eyeriss", "--config", "absent.yaml"), "absent.yaml"),
        (("trace", "absent.py:build"), "absent.py"),
        (("map", "lenet5:conv_1", "--hw", "eyeriss"), "Did you mean 'conv1'?"),
        (("map", "K=64,Q=3", "--hw", "eyeriss"), "dims must be among B G K C OY OX FY FX, but got 'Q'"),
        (("map", "conv1", "--hw", "eyeriss"), "MODEL:LAYER"),
        (("hw", "show", "tpu"), "tpu"),
        (("hw", "check", "eyeriss"), "must be a .yaml file"),
        (("export", "runs/absent"), "no such run"),
    ],
)
def test_invalid_models_and_configs_are_3_without_a_traceback(args: tuple[str, ...], said: str) -> None:
    result = run(*args)
    assert result.exit_code == 3, result.output
    assert said in result.stderr
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_debug_shows_the_traceback() -> None:
    done = in_a_process("--debug", "hw", "show", "eyeris")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "AcceleratorError" in done.stderr


def test_exit_codes_of_the_process() -> None:
    done = in_a_process("hw", "show", "eyeris")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "Error: No accelerator 'eyeris'. Did you mean eyeriss? hwmodel hw list shows all.\n"


@pytest.mark.parametrize(("option", "first"), [("--json", "{\n"), ("", "eyeriss: ")])
def test_a_closed_pipe_is_quiet(option: str, first: str) -> None:
    command = f"{sys.executable} -m reports.cli hw show eyeriss {option} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(first)
    assert (done.returncode, done.stderr) == (0, "")


# ---- models --------------------------------------------------------------------------------------


def test_trace_counts_lenet5() -> None:
    data = run_json("trace", "lenet5")
    assert data["weights"] == 150 + 2_400 + 48_000 + 10_080 + 840
    assert data["macs"] == 416_520
    text = run("trace", "lenet5").stdout
    assert "61,470 weights" in text
    assert "416,520 MACs" in text


def test_cost_is_what_evaluate_says() -> None:
    model, args = load_model_with_input("lenet5")
    graph = trace(model, *args)
    from hwmodel import Choice

    expected = evaluate(
        graph, load_accelerator("eyeriss"), dict.fromkeys(graph.modules, Choice(w_bits=4, a_bits=8))
    )
    data = run_json("cost", "lenet5", "--hw", "eyeriss", "--w-bits", "4", "--a-bits", "8")
    assert data["total"]["energy_pj"] == expected.energy_pj
    assert data["total"]["cycles"] == expected.cycles
    assert [row["w_bits"] for row in data["layers"]] == [4] * 5
    assert data["fingerprint"] == graph.fingerprint


def test_the_batch_is_the_first_of_the_input() -> None:
    assert run_json("trace", "lenet5", "--input", "4,1,32,32")["macs"] == 4 * 416_520


def test_a_model_of_a_file_with_any_layer_name(model_file: str) -> None:
    result = run("cost", model_file, "--hw", "edge_npu")
    assert result.exit_code == 0, result.output
    assert "extra.[/0]<script>" in result.stdout
    assert "\x1b" not in result.stdout
    macs = 3 * 8 * 9 * 64 + 8 * 8 * 64 + 80
    assert run_json("trace", model_file)["macs"] == macs


def test_map_prints_the_loops_of_a_layer() -> None:
    result = run("map", "K=8,C=4,OY=6,OX=6,FY=3,FX=3", "--hw", "eyeriss", "--w-bits", "8", "--a-bits", "8")
    assert result.exit_code == 0, result.output
    assert "for " in result.stdout
    data = run_json("map", "lenet5:conv1", "--hw", "eyeriss")
    bounds: dict[str, int] = {}
    for level in data["mapping"]:
        for dim, bound, *_ in level["temporal"] + level["spatial"]:
            bounds[dim] = bounds.get(dim, 1) * bound
    assert bounds["K"] * bounds["OY"] * bounds["OX"] * bounds["FY"] * bounds["FX"] >= 6 * 28 * 28 * 5 * 5
    assert data["cost"]["macs"] == 6 * 28 * 28 * 5 * 5


def test_options_have_the_types_they_look_like() -> None:
    given = ["width=2", "pretrained=false", "rate=0.5", "shortcut=pad", "path=none"]
    assert parse_options(given) == {"width": 2, "pretrained": False, "rate": 0.5, "shortcut": "pad", "path": None}


# ---- accelerators and the machine ----------------------------------------------------------------


def test_hw_lists_and_shows_every_accelerator() -> None:
    names = [chip["name"] for chip in run_json("hw", "list")]
    assert names == list_accelerators()
    text = run("hw", "list").stdout
    assert all(name in text for name in names)
    for name in names:
        assert run("hw", "show", name).exit_code == 0
        chip = run_json("hw", "show", name)
        assert chip["fingerprint"] == load_accelerator(name).fingerprint


def test_hw_check_names_the_line_and_the_fix(tmp_path: Path) -> None:
    from hwmodel.chip.loader import FOLDER

    text = (FOLDER / "eyeriss.yaml").read_text()
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(text)
    bad.write_text(text.replace("clock:", "clok:", 1))
    assert run("hw", "check", str(good)).exit_code == 0
    assert run_json("hw", "check", str(good))["valid"] is True
    result = run("hw", "check", str(bad))
    assert result.exit_code == 3
    line = 1 + text.split("clock:")[0].count("\n")
    assert f"bad.yaml:{line}:1 unknown key 'clok'. Did you mean 'clock'?" in result.stderr


def test_doctor_reports_the_machine() -> None:
    data = run_json("doctor")
    assert data["packages"]["torch"]
    assert data["cpus"] >= 1
    text = run("doctor").stdout
    assert "✓ every required package is installed" in text
    assert str(Path.home()) not in text
