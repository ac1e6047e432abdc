"""Our MACs beside those of other counters, on the models where these are right, and the published figures."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from workloads import load_model_with_input
from workloads.tracing import trace_model

CNNS = ["resnet20", "resnet18", "mobilenetv2", "dscnn"]


def flop_counter_macs(model: nn.Module, args: tuple) -> int:
    """Half the flops that torch counts, on the meta device, where no fused kernel hides any."""
    on_meta = [arg.to("meta") for arg in args]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.to("meta")(*on_meta)
    return counter.get_total_flops() // 2


def without_biases(model: nn.Module) -> nn.Module:
    """torchinfo counts biases and the scales of norms as multiply-adds; MACs are products that are added up."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
            module.bias = None
        if isinstance(module, nn.BatchNorm2d):
            module.weight = None
    return model


@pytest.mark.parametrize("name", CNNS)
def test_cnns_agree_with_torchinfo(name):
    torchinfo = pytest.importorskip("torchinfo")
    model, args = load_model_with_input(name)
    theirs = torchinfo.summary(without_biases(model), input_data=list(args), verbose=0).total_mult_adds
    assert trace_model(model, args).macs == theirs


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "vgg16", "transformer"])
def test_models_agree_with_the_flop_counter_of_torch(name):
    model, args = load_model_with_input(name)
    assert trace_model(model, args).macs == flop_counter_macs(model.eval(), args)


@pytest.mark.parametrize(
    ("name", "published", "digits"),
    [
        ("resnet18", 1.8, 1),  # He et al., CVPR 2016, table 1
        ("mobilenetv2", 0.30, 2),  # Sandler et al., CVPR 2018, table 4
    ],
)
def test_published_macs(name, published, digits):
    assert round(trace_model(*load_model_with_input(name)).macs / 1e9, digits) == published


def test_a_transformer_encoder_in_eval_mode_agrees_on_meta():
    """In eval mode on a CPU the fast path makes torchinfo and the flop counter see next to nothing."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 2).eval(), torch.zeros(1, 10, 64)
    graph = trace_model(model, (x,))
    assert graph.macs == 2 * 10 * (4 * 64 * 64 + 2 * 10 * 64 + 2 * 64 * 128)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    assert counter.get_total_flops() == 0
    assert graph.macs == flop_counter_macs(model, (x,))
