"""`model.onnx` is a name of a model on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from reports.cli import app
from reports.jobs.arguments import parse_shapes

onnx = pytest.importorskip("onnx")


def run(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A convolution and a linear layer on images of open batch and height."""
    helper = onnx.helper
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["a"], name="/conv/Conv"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], name="/GlobalAveragePool"),
        helper.make_node("Flatten", ["p"], ["f"], name="/Flatten"),
        helper.make_node("Gemm", ["f", "fc.weight"], ["y"], name="/fc/Gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", onnx.TensorProto.FLOAT, ["N", 3, "H", 8])],
        [value("y", onnx.TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)
            for name, shape in (("conv.weight", (4, 3, 3, 3)), ("fc.weight", (10, 4)))
        ],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return str(path)


@pytest.mark.parametrize("shape", ["2,3,6,8", "x=2,3,6,8", "N=2;H=6", "x=2,3,6,8;N=2"])
def test_trace(model, shape):
    result = run("trace", model, "--input", shape, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["macs"] == 2 * 4 * 3 * 9 * (4 * 6) + 2 * 40


def test_cost_and_map(model):
    result = run("cost", model, "--hw", "eyeriss", "--input", "H=6", "--json")
    assert result.exit_code == 0, result.output
    assert [row["layer"] for row in json.loads(result.stdout)["layers"]] == ["conv", "fc"]
    assert "conv" in run("cost", model, "--hw", "eyeriss", "--input", "H=6").stdout
    mapped = run("map", f"{model}:fc", "--hw", "eyeriss", "--input", "H=6", "--json")
    assert json.loads(mapped.stdout)["layer"]["dims"]["K"] == 10


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 3, "dim 2 is not known"),
        (("--input", "H=0"), 3, "must be an integer >= 1"),
        (("--input", "H=six"), 2, "must be integers"),
        (("--option", "width=2"), 2, "an ONNX file has no options"),
    ],
)
def test_mistakes(model, args, code, message):
    result = run("trace", model, *args)
    assert result.exit_code == code
    assert message in " ".join(result.output.replace("│", " ").split())


def test_not_onnx(tmp_path):
    path = tmp_path / "notes.onnx"
    path.write_text("no model")
    result = run("trace", str(path))
    assert result.exit_code == 3
    assert "is not an ONNX file" in result.output and "Traceback" not in result.output


def test_shapes_as_text():
    assert parse_shapes("ids=1,128; mask=1x128;seq=16") == {"ids": (1, 128), "mask": (1, 128), "seq": 16}
    assert parse_shapes("1,3,8,8") == {"": (1, 3, 8, 8)}
    assert parse_shapes(None) == {}
