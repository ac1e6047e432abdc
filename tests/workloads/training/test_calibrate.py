"""Measuring: shapes are drawn reproducibly, layers compute what they say, the file can be read."""

from __future__ import annotations

import pytest
import torch

from hwmodel import load_accelerator
from hwmodel.errors import ConfigError
from hwmodel.network.layer import Bits, Layer
from workloads.calibrate import calibrate_device
from workloads.calibrate.shapes import MACS, draw_layers
from workloads.calibrate.timing import measure, operands_of, run_layer


@pytest.mark.parametrize("group", ["gemm", "conv", "depthwise"])
def test_shapes_follow_the_seed_and_the_bounds(group):
    layers = draw_layers(20, 3, group, 16, "cpu")
    assert layers == draw_layers(20, 3, group, 16, "cpu")
    assert layers != draw_layers(20, 4, group, 16, "cpu")
    assert all(layer.macs <= MACS["cpu"][1] for layer in layers)
    assert all(layer.bits == Bits(w=16, i=16, o=16) for layer in layers)


@pytest.mark.parametrize(
    "layer",
    [
        Layer(name="fc", kind="linear", dims={"B": 3, "K": 5, "C": 7}),
        Layer(name="c", dims={"B": 2, "K": 4, "C": 3, "OY": 5, "OX": 6, "FY": 3, "FX": 2}, stride=(2, 1)),
        Layer(name="dw", dims={"G": 6, "OY": 5, "OX": 5, "FY": 3, "FX": 3}),
    ],
    ids=lambda layer: layer.name,
)
def test_a_layer_makes_its_outputs(layer):
    out = run_layer(layer, operands_of(layer, torch.float32, "cpu"))
    assert out.numel() == layer.elements("O")
    sample = measure([(layer, "fp32")], "cpu", rounds=1)[0]
    assert sample.seconds > 0


def test_calibration_writes_a_file_that_loads(tmp_path):
    found = calibrate_device("cpu", name="here", count=4, seed=5)
    path = tmp_path / "here.yaml"
    path.write_text(found.yaml)
    machine = load_accelerator(path)
    assert (machine.name, machine.kind) == ("here", "cpu")
    assert machine.num_pes == torch.get_num_threads()
    assert f"torch {torch.__version__}" in machine.source
    assert machine.roofline.format_for(32).name == "fp32"


def test_devices_are_checked():
    with pytest.raises(ConfigError, match="device must be one of cpu, cuda, but got 'tpu'"):
        calibrate_device("tpu")
    with pytest.raises(ConfigError, match="count >= 4"):
        calibrate_device("cpu", count=1)
