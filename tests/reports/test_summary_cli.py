"""`hwmodel trace` and `cost`: the tree, its files, and what bad input ends in."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from reports.cli import app

MODELS = """
import torch
from torch import nn

class Blocks(nn.Module):
    def __init__(self, num=4):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(num))

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x

def build(num: int = 4):
    return Blocks(num), (torch.zeros(1, 8),)

def raises():
    raise RuntimeError("no weights at hand")

def leaves():
    raise SystemExit(7)

def three():
    return 3

def absent_device():
    return nn.Linear(8, 8).to("cuda:99"), (torch.zeros(1, 8),)

def not_a_number():
    model = Blocks()
    torch.nn.init.constant_(model.blocks[2].weight[:1, :3], float("nan"))
    return model, (torch.zeros(1, 8),)

def nothing():
    return nn.Identity(), (torch.zeros(1, 8),)
"""


def run(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def models(tmp_path: Path) -> str:
    path = tmp_path / "nets.py"
    path.write_text(MODELS)
    (tmp_path / "broken.py").write_text("def build(:\n")
    (tmp_path / "binary.py").write_bytes(b"\xff\x00")
    return str(path)


def test_blocks_are_folded_and_unfolded(models: str) -> None:
    folded = run("trace", f"{models}:build").stdout
    assert "0–3 ×4" in folded
    assert "4 layers · 256 weights" in folded
    unfolded = run("trace", f"{models}:build", "--unfold").stdout
    assert [f"{branch}{n} " in unfolded for n, branch in enumerate("├├├└")] == [False] * 4  # indented one level
    assert all(f"─{n} " in unfolded for n in range(4))
    shallow = run("cost", f"{models}:build", "--hw", "eyeriss", "--depth", "1").stdout
    assert "4 layers" in shallow
    assert "0–3" not in shallow


@pytest.mark.parametrize("command", [("trace",), ("cost", "--hw", "eyeriss")])
def test_csv_has_one_row_per_layer(models: str, command: tuple[str, ...], tmp_path: Path) -> None:
    name, *options = command
    alone = run(name, f"{models}:build", *options, "--csv", "-")
    frame = pd.read_csv(io.StringIO(alone.stdout))
    assert list(frame["layer"]) == [f"blocks.{n}" for n in range(4)]
    assert list(frame["macs"]) == [64] * 4
    path = tmp_path / "new" / "layers.csv"
    beside = run(name, f"{models}:build", *options, "--csv", str(path))
    assert path.read_text() == alone.stdout
    assert "0–3 ×4" in beside.stdout


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_figure_is_what_its_name_says(models: str, kind: str, start: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"net.{kind}"
    assert run("trace", f"{models}:build", "--figure", str(path)).exit_code == 0
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--depth", "0"), "--depth"),
        (("--depth", "-1"), "--depth"),
        (("--figure", "net.gif"), "must end in .png, .svg, .pdf"),
        (("--csv", "-", "--json"), "give either --csv - or --json"),
        (("--csv", "{file}/x.csv"), "cannot write"),
        (("--figure", "{file}/x.png"), "cannot write"),
        (("--input", "1,0,8"), "must be integers >= 1"),
    ],
)
def test_usage_errors(models: str, options: tuple[str, ...], said: str) -> None:
    result = run("trace", f"{models}:build", *(option.replace("{file}", models) for option in options))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nets.py:bild", "has no function 'bild'. Did you mean 'build'?"),
        ("nets.py:raises", "could not be built: RuntimeError: no weights at hand"),
        ("nets.py:leaves", "could not be built: SystemExit: 7"),
        ("nets.py:three", "must return a torch.nn.Module"),
        ("nets.py:absent_device", "could not be built"),
        ("nets.py:not_a_number", "'blocks.2.weight' has NaN or infinity in 3 of 64 values"),
        ("broken.py:build", "cannot be imported: SyntaxError"),
        ("binary.py:build", "cannot be imported: SyntaxError"),
        ("absent.py:build", "no such file"),
    ],
)
@pytest.mark.parametrize("command", [("trace",), ("cost", "--hw", "eyeriss")])
def test_invalid_models(models: str, model: str, said: str, command: tuple[str, ...]) -> None:
    name, *options = command
    result = run(name, str(Path(models).with_name(model)), *options)
    assert result.exit_code == 3, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_an_input_of_the_wrong_shape_or_size(models: str) -> None:
    wrong = run("trace", f"{models}:build", "--input", "1,9")
    assert wrong.exit_code == 3
    assert "Tracing failed in blocks.0: expected 8 features, got 9" in wrong.stderr
    huge = run("trace", f"{models}:build", "--input", "1,99999999,99999999")
    assert huge.exit_code == 3
    assert "does not fit into memory" in huge.stderr


def test_a_network_without_layers(models: str, tmp_path: Path) -> None:
    result = run("trace", f"{models}:nothing", "--figure", str(tmp_path / "x.png"))
    assert result.exit_code == 0, result.output
    assert "0 layers" in result.stdout
    assert "nan" not in result.stdout
