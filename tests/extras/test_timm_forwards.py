"""Models of timm whose layers pad, cast, standardise or activate in forwards of their own."""

from __future__ import annotations

import copy

import pytest
import torch

from workloads import trace
from workloads.compress import CompressionConfig, apply, calibrate, uncompressible
from workloads.compress.pruning import channel_groups, mask_channels, slice_channels

timm = pytest.importorskip("timm")

#: efficientnet_lite0 has 16 blocks in 7 stages: the stem, the output of every stage, an expansion in all blocks but
#: the first, and the head.
LITE0_GROUPS = 1 + 7 + 15 + 1

#: Conv2dSame, ScaledStdConv2d with a gain of 0 at first, StdConv2d, BatchNormAct2d.
COMPRESSED = ("tf_mobilenetv3_small_075", "nf_regnet_b0", "resnetv2", "densenet", "regnetx_002")
SLICED = ("tf_mobilenetv3_small_075", "regnetx_002", "nf_regnet_b0")
SMALL = {
    "densenet": lambda: timm.models.densenet.DenseNet(growth_rate=8, block_config=(2, 2), num_classes=10),
    "resnetv2": lambda: timm.models.resnetv2.ResNetV2((1, 1, 1), channels=(128, 256, 256), num_classes=10),
}


def build(name: str) -> torch.nn.Module:
    """With numbers for the scales that start as 0."""
    torch.manual_seed(0)
    model = SMALL[name]() if name in SMALL else timm.create_model(name, num_classes=10)
    with torch.no_grad():
        for parameter in model.parameters():
            if not bool(parameter.any()):
                parameter.uniform_(0.5, 1.0)
    return model.eval()


def test_the_groups_of_a_network_whose_norms_activate() -> None:
    groups = channel_groups(build("efficientnet_lite0"), torch.rand(1, 3, 32, 32))
    assert len(groups) == LITE0_GROUPS
    assert [(kept.module, kept.channels) for kept in groups.kept] == [("classifier", 10)]


@pytest.mark.parametrize("name", COMPRESSED)
def test_every_module_of_the_graph_takes_bits(name: str) -> None:
    model, x = build(name), torch.rand(1, 3, 32, 32)
    graph = trace(model, x)
    assert uncompressible(model, graph.modules) == {}
    qmodel = apply(model, CompressionConfig.from_bits(dict.fromkeys(graph.modules, 4), a_bits=8))
    calibrate(qmodel, [x])
    again = trace(qmodel, x)
    assert (again.macs, again.weights) == (graph.macs, graph.weights)
    assert {layer.bits.w for layer in again.layers if layer.weights} == {4}
    with torch.no_grad():
        assert not torch.equal(qmodel.eval()(x), model(x))


@pytest.mark.parametrize("name", SLICED)
def test_the_sliced_network_is_the_masked_one(name: str) -> None:
    model, x = build(name), torch.rand(1, 3, 32, 32)
    groups = channel_groups(model, x)
    keep = {group.name: range(0, group.size, 2) for group in groups}
    small = slice_channels(model, groups, keep, x)  # compares in float64
    assert trace(small, x).macs < trace(model, x).macs
    masked = copy.deepcopy(model)
    mask_channels(masked, groups, keep)
    with torch.no_grad():
        torch.testing.assert_close(small(x), masked(x), atol=1e-4, rtol=1e-3)
