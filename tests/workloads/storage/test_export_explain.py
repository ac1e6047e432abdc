"""What a configuration means for one layer, each number counted another way."""

from __future__ import annotations

import json
import math

import pytest
import torch

from hwmodel import evaluate, load_accelerator
from hwmodel.errors import ConfigError, GraphError
from tests.workloads.compress.compress_models import TINY_LAYERS, images, tiny_graph, tiny_net
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate
from workloads.export import explain_layer

CONFIG = CompressionConfig({
    "block.2": LayerChoice(w_bits=5, a_bits=6, density=0.5, granularity="channel"),
    "conv1": LayerChoice(w_bits=4, a_bits=8, quantizer="affine"),
})  # fmt: skip


@pytest.fixture(scope="module")
def qmodel():
    model = apply(tiny_net().eval(), CONFIG)
    calibrate(model, images())
    return model


def test_a_layer_in_numbers(qmodel):
    about = explain_layer(qmodel, "block.2")
    layer = qmodel.get_submodule("block.2")
    grid, count = layer.weight_grid(), layer.weight.numel()
    codes = grid.codes(layer.weight) * layer.mask
    assert (about.weights, about.shape, about.density) == (count, tuple(layer.weight.shape), 0.5)
    assert (about.weight.bits, about.weight.qmin, about.weight.qmax, about.weight.levels) == (5, -16, 15, 32)
    assert about.weight.levels_used == len(set(codes.flatten().tolist()))
    assert about.weight.num_scales == layer.weight.shape[0]
    assert about.weight.range == pytest.approx((-16 * grid.scale.max().item(), 15 * grid.scale.max().item()))
    assert about.zeros == pytest.approx((codes == 0).float().mean().item())
    assert about.code_bytes == math.ceil(count * 5 / 8)
    assert about.parameter_bytes == layer.weight.shape[0] * (4 + 4)
    assert about.size_bytes == about.code_bytes + about.parameter_bytes
    assert (about.input.bits, about.input.qmin, about.input.levels, about.input.levels_used) == (6, 0, 64, None)
    assert about.macs is None


def test_affine_grids_say_their_zero_point(qmodel):
    about, grid = explain_layer(qmodel, "conv1"), qmodel.conv1.weight_grid()
    zero = int(grid.zero_point)
    assert about.weight.zero_point == (zero, zero)
    assert about.weight.range == pytest.approx((-zero * grid.scale.item(), (15 - zero) * grid.scale.item()))


def test_a_float_layer(qmodel):
    about = explain_layer(qmodel, "fc")
    assert (about.weight, about.input, about.density) == (None, None, 1.0)
    assert about.size_bytes == about.float_bytes == 4 * qmodel.fc.weight.numel()
    assert "weight   float" in str(about)


def test_shares_of_the_cost_add_up(qmodel):
    graph, chip = tiny_graph(), load_accelerator("edge_npu")
    found = [explain_layer(qmodel, name, graph=graph, config=CONFIG, accelerator=chip) for name in TINY_LAYERS]
    total = evaluate(graph, chip, config=CONFIG)
    assert sum(item.macs for item in found) == graph.macs
    assert sum(item.macs_share for item in found) == pytest.approx(1)
    assert sum(item.energy_pj for item in found) == pytest.approx(sum(c.energy_pj for c in total.layers))
    assert [item.cycles_share for item in found] == [c.cycles / total.cycles for c in total.layers]


def test_text_and_dict(qmodel):
    graph, chip = tiny_graph(), load_accelerator("edge_npu")
    about = explain_layer(qmodel, "block.2", graph=graph, config=CONFIG, accelerator=chip)
    text = str(about)
    for part in ("block.2 (QuantConv2d, 12 x 8 x 1 x 1 weights, lsq)", "5 bits, codes -16..15", "of 32 levels used",
                 "50 % kept", "times smaller than float32", "MACs", "energy", "cycles"):  # fmt: skip
        assert part in text
    data = json.loads(json.dumps(about.to_dict()))
    assert data["weight"]["bits"] == data["choice"]["w_bits"] == 5
    assert data["size_bytes"] == about.size_bytes


def test_before_calibration_and_without_the_needed(qmodel):
    fresh = apply(tiny_net(), CONFIG)
    assert "6 bits, not calibrated yet" in str(explain_layer(fresh, "block.2"))
    with pytest.raises(ConfigError, match=r"'block.3' matched 0 of 4 layers. Did you mean 'block.[02]'"):
        explain_layer(qmodel, "block.3")
    with pytest.raises(ConfigError, match="needs graph and config"):
        explain_layer(qmodel, "fc", accelerator=load_accelerator("edge_npu"))
    with pytest.raises(GraphError, match="'spare' matched 0"):
        qmodel.spare = torch.nn.Linear(2, 2)
        try:
            explain_layer(qmodel, "spare", graph=tiny_graph())
        finally:
            del qmodel.spare


def test_a_float_layer_has_no_quantizer_in_its_headline():
    headline = str(explain_layer(torch.nn.Sequential(torch.nn.Linear(3, 2)), "0")).splitlines()[0]
    assert headline == "0 (Linear, 2 x 3 weights)"
