"""Files that other programs open: CSV in a spreadsheet, figures with any name, weights as bytes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from typer.testing import CliRunner

from hwmodel.csvfile import csv_text, open_cell, read_csv, safe_cell
from hwmodel.files import write_atomic
from hwmodel.network.layer import Layer
from reports.cli import app
from reports.figures.files import figure_bytes, save_figure
from reports.jobs.choices import say_code
from reports.jobs.configs import config_text
from tests.workloads.compress.compress_models import chain
from workloads.compress import CompressionConfig, write_config
from workloads.storage.safefile import CONTENT, safetensors_bytes

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_cell_is_a_formula(tmp_path, cell) -> None:
    frame = pd.DataFrame({"layer": [cell, "conv1"], "energy_pj": [-1.5, 2.0]})
    path = write_atomic(tmp_path / "x.csv", csv_text(frame))
    raw = pd.read_csv(path)
    assert raw["layer"][0].startswith("'")
    assert list(raw["layer"])[1:] == ["conv1"]
    assert list(raw["energy_pj"]) == [-1.5, 2.0]  # a number is one, whatever its sign
    pd.testing.assert_frame_equal(read_csv(path), frame)


@given(st.text() | st.sampled_from(FORMULAS))
def test_a_cell_returns(text: str) -> None:
    assert open_cell(safe_cell(text)) == text
    assert not str(safe_cell(text)).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_every_csv_is_written_so(tmp_path) -> None:
    name = "=1+1"
    graph = chain("m", [Layer(name=name, module=name, dims=dict(K=2, C=2))])
    path = write_config(tmp_path / "best.yaml", CompressionConfig.from_bits({name: 4}), graph)
    assert config_text(path, "csv").splitlines()[1].startswith("'=1+1,")
    net = tmp_path / "net.py"
    net.write_text(
        "import torch\n\ndef build():\n    model = torch.nn.Module()\n"
        "    model.add_module('=1+1', torch.nn.Linear(4, 2))\n"
        "    model.forward = lambda x: model._modules['=1+1'](x)\n    return model, torch.zeros(1, 4)\n"
    )
    for command in (["trace", f"{net}:build"], ["cost", f"{net}:build", "--hw", "eyeriss"]):
        result = CliRunner().invoke(app, [*command, "--csv", "-"])
        assert result.exit_code == 0, result.output
        assert set(pd.read_csv(io.StringIO(result.stdout))["layer"]) == {"'=1+1"}


def test_names_that_no_font_draws_are_written_out(tmp_path) -> None:
    fig, ax = plt.subplots()
    ax.barh(range(2), [1, 2])
    ax.set_yticks(range(2), labels=["卷积", "µ²·×±é"])
    ax.set_title("网")
    ax.text(0, 0, "η 한")
    with pytest.warns(UserWarning, match=r"no font here draws .*U\+5377.*written as escapes"):
        figure_bytes(ax)
    texts = {text.get_text() for text in fig.findobj(Text)}
    assert {r"\u5377\u79ef", "µ²·×±é", r"\u7f51", r"η \ud55c"} <= texts
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no box is left, and nothing is said twice
        save_figure(tmp_path / "x.png", ax)
    plt.close(fig)


def test_negative_ticks_stay_as_they_are() -> None:
    fig, ax = plt.subplots()
    ax.plot([-2, 2], [-1, 1])
    limits = ax.get_ylim()
    figure_bytes(ax)
    assert ax.get_ylim() == limits
    plt.close(fig)


SAVE = (
    "import sys, torch; from workloads.storage.safefile import CONTENT, safetensors_bytes as s; "
    "sys.stdout.buffer.write("
    "s({f't{n}': torch.arange(n + 1.) for n in range(4)}, {f'k{n}': 'é' for n in range(9)}))"
)


def test_the_same_weights_are_the_same_bytes() -> None:
    tensors = {f"t{n}": torch.arange(n + 1.0) for n in range(4)}
    notes = {f"k{n}": "é" for n in range(9)}
    data = {safetensors_bytes(tensors, notes) for _ in range(20)}
    assert data == {subprocess.run([sys.executable, "-c", SAVE], capture_output=True, check=True).stdout}
    content = data.pop()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    kept = json.loads(content[8 : 8 + length])["__metadata__"]
    assert {key: text for key, text in kept.items() if key != CONTENT} == notes
    for name, tensor in safetensors.torch.load(content).items():
        assert torch.equal(tensor, tensors[name])


KILLED = (
    "import os, signal, sys; from pathlib import Path; import hwmodel.files as f; "
    "f.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); f.write_atomic(Path(sys.argv[1]), 'x')"
)


def test_temporaries_of_a_killed_process_are_swept(tmp_path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "x.txt")], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".tmp")
    (tmp_path / ".x.txt.keep").write_text("of another program")
    write_atomic(tmp_path / "y.txt", "y")
    assert {path.name for path in tmp_path.iterdir()} == {"y.txt", ".x.txt.keep"}


def test_a_configuration_says_which_code_it_runs(tmp_path, capsys) -> None:
    graph = chain("m", [Layer(name="fc", module="fc", dims=dict(K=2, C=2))])
    made = {"model": {"name": f"{tmp_path}/net.py:build"}, "data": {"name": "digits"}}
    path = write_config(tmp_path / "b.yaml", CompressionConfig.from_bits({"fc": 4}), graph, provenance=made)
    say_code(path)
    assert f"runs code: build of {tmp_path.resolve()}/net.py" in "".join(capsys.readouterr().err.splitlines())
