"""`hwmodel ladder`: its numbers against a loop of its own, and what it refuses."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from hwmodel.errors import ConfigError
from reports.cli import app
from tests.workloads.compress.compress_models import quadrant_data, quadrant_net
from workloads import load_data, load_model
from workloads.compress import minmax_affine, save_weights
from workloads.models import checkpoint
from workloads.models.published import Published
from workloads.training import Accuracy, TrainSettings, finetune

CODE = """
from tests.workloads.compress.compress_models import quadrant_data, quadrant_net

def build():
    return quadrant_net()

def images():
    data = quadrant_data(noise=3.0)
    return data.train, data.validation, data.test

def numbers():
    data = quadrant_data(noise=3.0)
    return [(part.x, part.y.float()[:, None].repeat(1, 4)) for part in (data.train, data.validation, data.test)]
"""
DIGITS = load_data("digits")
DATA = quadrant_data(noise=3.0)


@pytest.fixture(scope="module")
def model():
    model = quadrant_net()
    finetune(model, DATA.train, TrainSettings(epochs=4, lr=0.1, batch_size=32), device="cpu")
    return model


@pytest.fixture
def place(model, tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(CODE)
    save_weights(tmp_path / "net.safetensors", model)
    return tmp_path


def run(place: Path, *more: str, data: str = "images", weights: str = "net.safetensors") -> Result:
    named = ["ladder", f"{place / 'net.py'}:build", "--data", f"{place / 'net.py'}:{data}"]
    return CliRunner().invoke(app, [*named, "--weights", str(place / weights), *more])


def hits(model, bits: int, split) -> int:
    other = copy.deepcopy(model).eval()
    with torch.no_grad():
        other.conv.weight.copy_(minmax_affine(other.conv.weight, bits))
        return int((other(split.x).argmax(1) == split.y).sum())


@pytest.mark.parametrize(("split", "part"), [("validation", DATA.validation), ("test", DATA.test)])
def test_rows_are_those_of_a_loop(place, model, split, part):
    result = run(place, "--bits", "3,2,1", "--quantizer", "minmax", "--float", "fc", "--split", split, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["layers"] == ["conv"]
    assert [row["w_bits"] for row in found["widths"]] == [32, 3, 2, 1]
    expected = [hits(model, bits, part) for bits in (32, 3, 2, 1)]
    assert [row["correct"] for row in found["widths"]] == expected
    assert len(set(expected)) > 2
    full = Accuracy(correct=expected[0], total=100)
    convolution, last = model.conv.weight.numel(), model.fc.weight.numel()
    for row, correct in zip(found["widths"], expected, strict=True):
        own = Accuracy(correct=correct, total=100)
        assert (row["score"], row["low"], row["high"]) == (own.value, own.interval.low, own.interval.high)
        assert row["lost"] == full.value - own.value
        assert row["tie"] == own.interval.overlaps(full.interval)
        average = (row["w_bits"] * convolution + 32 * last) / (convolution + last)
        assert row["average_bits"] == pytest.approx(average, rel=1e-12)


def test_the_table_says_what_was_scored(place):
    result = run(place, "--bits", "8,1", "--a-bits", "4", "--float", "conv", "--norms", "--images", "40")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["float", "float"], ["8", "4"], ["1", "4"]]
    assert "in 1 layers, the others float; norms re-estimated; 40 validation items" in result.stdout
    assert "average precision = " in result.stdout
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["float", "8 bits", "1 bits"]


def test_rows_as_csv(place):
    result = run(place, "--bits", "8,1", "--csv", str(place / "rows.csv"))
    assert f"{place / 'rows.csv'}: 3 widths" in result.stderr
    with (place / "rows.csv").open(newline="") as file:
        assert [row["w_bits"] for row in csv.DictReader(file)] == ["32", "8", "1"]
    stdout = run(place, "--bits", "8,1", "--csv", "-").stdout
    assert stdout == (place / "rows.csv").read_text()


def test_a_metric_has_no_interval(place):
    result = run(place, "--bits", "8,1", data="numbers")
    assert result.exit_code == 0, result.output
    header, first, *_ = result.stdout.splitlines()
    assert header.split() == ["Weights", "Inputs", "Average", "Score", "95", "%", "Lost"]
    assert first.split()[-2:] == ["–", "–"]


def test_weights_of_another_scale_are_noticed(place, model):
    torch.manual_seed(0)
    other = quadrant_net(seed=1)
    torch.nn.init.zeros_(other.fc.weight)
    save_weights(place / "other.safetensors", other)
    assert "answers at random" in run(place, "--bits", "8", weights="other.safetensors").stdout
    assert "answers at random" not in run(place, "--bits", "8").stdout


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--bits", "8,x"), 2, "must be different integers in 1..16"),
        (("--bits", "8,17"), 2, "must be different integers in 1..16"),
        (("--bits", "8,8"), 2, "must be different integers in 1..16"),
        (("--quantizer", "minmx"), 2, "Did you mean 'minmax'?"),
        (("--granularity", "chanel"), 2, "Did you mean 'channel'?"),
        (("--split", "tests"), 2, "Did you mean 'test'?"),
        (("--csv", "-", "--json"), 2, "both go to stdout"),
        (("--float", "cov"), 3, "Did you mean 'conv'?"),
        (("--images", "101"), 3, "validation <= 100"),
        (("--option", "shortcut=pad"), 3, "shortcut"),
    ],
)
def test_mistakes_are_named(place, more, code, said):
    result = run(place, *more)
    assert result.exit_code == code, result.output
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert result.stdout == ""


def test_absent_weights_are_named(place):
    result = run(place, weights="absent.npz")
    assert result.exit_code == 3
    assert "absent.npz: no such file of weights" in result.stderr


@pytest.mark.parametrize(
    ("split", "given", "expected"),
    [
        ("validation", {}, {"normalize": "imagenet", "validation": "test"}),
        ("test", {}, {"normalize": "imagenet"}),
        ("validation", {"validation": "train"}, {"normalize": "imagenet", "validation": "train"}),
    ],
)
def test_what_is_known_of_published_weights_is_filled_in(tmp_path, monkeypatch, split, given, expected):
    made = Published(
        model="resnet8", data="cifar10", model_options={"shortcut": "pad"}, data_options={"normalize": "imagenet"}
    )
    path = save_weights(tmp_path / "w.safetensors", load_model("resnet8", shortcut="pad", in_channels=1))
    asked: list[dict] = []
    monkeypatch.setattr(checkpoint, "published", lambda _path: made)
    monkeypatch.setattr(checkpoint, "load_data", lambda _name, **options: asked.append(options) or DIGITS)
    held = checkpoint.load_checkpoint("resnet8", path, "cifar10", split=split, options={}, data_options=given)
    assert asked == [expected]
    assert all(f"{key}={value}" in held.notes[0] for key, value in expected.items())
    named = {"in_channels": 1, "shortcut": "projection"}
    with pytest.raises(ConfigError, match="lacks"):
        checkpoint.load_checkpoint("resnet8", path, "cifar10", split=split, options=named, data_options=given)
