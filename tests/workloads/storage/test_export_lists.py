"""Configurations in the forms of HAQ, HAWQ, torchao and Brevitas; bit lists back into configurations."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import TINY_LAYERS, images, tiny_graph, tiny_net
from workloads import load_model
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate
from workloads.export import (
    brevitas_layers,
    config_from_haq,
    config_from_hawq,
    haq_bits,
    hawq_bits,
    layer_names,
    torchao_config,
)

CONFIG = CompressionConfig({
    "conv1": LayerChoice(w_bits=8),
    "block.2": LayerChoice(w_bits=3, a_bits=5),
    "block.0": LayerChoice(w_bits=1, a_bits=16),
})  # fmt: skip
FULL = CompressionConfig({**CONFIG.layers, "fc": LayerChoice()})


def test_layers_in_order():
    assert (
        layer_names(tiny_net()) == layer_names(tiny_graph()) == layer_names(iter(TINY_LAYERS)) == list(TINY_LAYERS)
    )


def test_a_container_is_a_model_not_a_list_of_names():
    stack = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    assert layer_names(stack) == ["0", "3"]
    assert layer_names(nn.ModuleList([nn.Linear(2, 2), stack])) == ["0", "1.0", "1.3"]
    assert haq_bits(CompressionConfig.from_bits({"3": 4}), layer_names(stack)) == [[-1, -1], [4, -1]]


def test_haq_there_and_back():
    pairs = haq_bits(CONFIG, TINY_LAYERS)
    assert pairs == [[8, -1], [1, 16], [3, 5], [-1, -1]]
    assert config_from_haq(json.loads(json.dumps(pairs)), TINY_LAYERS) == FULL
    assert config_from_haq(np.array(pairs), TINY_LAYERS) == FULL
    pact = config_from_haq([[4, 4]] * 4, TINY_LAYERS, quantizer="pact", granularity="channel")
    assert pact.layers["fc"] == LayerChoice(w_bits=4, a_bits=4, quantizer="pact", granularity="channel")


def test_haq_lists_that_do_not_fit():
    with pytest.raises(ConfigError, match=r"the model has 4 \(conv1 .. fc\), but the list has 3"):
        config_from_haq([[8, 8]] * 3, TINY_LAYERS)
    with pytest.raises(ConfigError, match=r"entry 1 \('block.0'\) must be \[w_bits, a_bits\], but got \[8\]"):
        config_from_haq([[8, 8], [8], [8, 8], [8, 8]], TINY_LAYERS)
    with pytest.raises(ConfigError, match=r"'block.2': w_bits must be an integer in 1..16.*but got 17"):
        config_from_haq([[8, 8], [8, 8], [17, 8], [8, 8]], TINY_LAYERS)
    with pytest.raises(ConfigError, match=r"'fd' matched 0 of 4 layers. Did you mean 'fc'"):
        haq_bits(CompressionConfig.from_bits({"fd": 4}), TINY_LAYERS)


def test_hawq_there_and_back():
    bits = hawq_bits(CONFIG, TINY_LAYERS)
    assert bits == {
        "quant_act_conv1": 32, "quant_conv1": 8, "block.quant_act_0": 16, "block.quant_0": 1,
        "block.quant_act_2": 5, "block.quant_2": 3, "quant_act_fc": 32, "quant_fc": 32,
    }  # fmt: skip
    assert config_from_hawq(bits, TINY_LAYERS) == FULL
    some = {"block.quant_2": 3, "block.quant_act_2": 5}
    assert config_from_hawq(some, TINY_LAYERS) == CompressionConfig({"block.2": CONFIG.layers["block.2"]})


def published_resnet18(w_bits=4, a_bits=5):
    """The names of HAWQ's bit_config.py for ResNet-18: two units in each of four stages."""
    bits = {"quant_input": 8, "quant_init_block_convbn": 8, "quant_act_int32": 16}
    for stage in range(1, 5):
        for unit in (1, 2):
            place = f"stage{stage}.unit{unit}"
            bits |= {f"{place}.quant_act": a_bits, f"{place}.quant_convbn1": w_bits}
            bits |= {f"{place}.quant_act1": a_bits - 1, f"{place}.quant_convbn2": w_bits - 1}
            if stage > 1 and unit == 1:
                bits[f"{place}.quant_identity_convbn"] = w_bits + 1
            bits[f"{place}.quant_act_int32"] = 16
    return {**bits, "quant_act_output": 8, "quant_output": 8}


def test_hawq_s_own_names_by_their_order():
    names = layer_names(load_model("resnet18"))
    config = config_from_hawq(published_resnet18(), names)
    assert len(config.layers) == 1 + 4 * 2 * 2 + 3 + 1
    found = {name: (choice.w_bits, choice.a_bits) for name, choice in config.layers.items()}
    assert found["conv1"] == found["fc"] == (8, 8)
    assert {found[name] for name in names if name.endswith("conv1") and name != "conv1"} == {(4, 5)}
    assert {found[name] for name in names if name.endswith("conv2")} == {(3, 4)}
    shortcuts = [name for name in names if "conv" not in name and name != "fc"]
    assert [found[name] for name in shortcuts] == [(5, 5)] * 3


def test_hawq_names_that_do_not_fit():
    with pytest.raises(ConfigError, match=r"the model has 4 \(conv1 .. fc\), but it names 21"):
        config_from_hawq(published_resnet18(), TINY_LAYERS)
    with pytest.raises(
        ConfigError, match=r"'quant_fd' matched 0 of 8 names of quantizers\. Did you mean 'quant_fc'"
    ):
        config_from_hawq({"quant_fd": 4, "quant_conv1": 4}, TINY_LAYERS)
    with pytest.raises(ConfigError, match=r"'layer1' is no name of HAWQ"):
        config_from_hawq({"layer1": 4}, TINY_LAYERS)


def test_torchao_form():
    config = CompressionConfig({
        "conv1": LayerChoice(w_bits=4, a_bits=6),
        "block.0": LayerChoice(w_bits=9),
        "block.2": LayerChoice(a_bits=4),
        "fc": LayerChoice(w_bits=3, a_bits=8, quantizer="affine"),
    })  # fmt: skip
    made = torchao_config(config, linear=["fc", "conv1"])
    entries = made.data["_data"]["fqn_to_config"]
    assert made.data["_type"] == "FqnToConfig"
    assert list(entries) == [*config.layers, "_default"]
    assert entries["conv1"]["_type"] == "IntxWeightOnlyConfig"
    assert entries["conv1"]["_data"]["weight_dtype"] == {"_type": "torch.dtype", "_data": "int4"}
    assert entries["fc"]["_type"] == "Int8DynamicActivationIntxWeightConfig"
    assert entries["fc"]["_data"]["weight_mapping_type"]["_data"] == "ASYMMETRIC"
    assert entries["block.0"] is entries["block.2"] is entries["_default"] is None
    assert set(made.left_out) == {"conv1", "block.0", "block.2"}
    assert "torchao's integers are of linear layers" in made.left_out["block.0"]
    assert "torchao has 1 to 8" in torchao_config(config).left_out["block.0"]


def test_torchao_reads_and_applies_it():
    if importlib.util.find_spec("torchao") is None:
        pytest.skip("torchao is not installed")
    from torchao.core.config import config_from_dict
    from torchao.quantization import quantize_

    config = CompressionConfig({"conv1": LayerChoice(w_bits=4), "fc": LayerChoice(w_bits=3, a_bits=8)})
    model = tiny_net()
    read = config_from_dict(json.loads(json.dumps(torchao_config(config, linear=["fc"]).data)))
    quantize_(model, read, filter_fn=None)
    assert model.fc.weight.target_dtype == torch.int3
    assert type(model.conv1.weight) is type(model.block[2].weight) is nn.Parameter
    assert model.fc(torch.rand(2, model.fc.in_features)).shape == (2, model.fc.out_features)


def calibrated(config):
    qmodel = apply(tiny_net().eval(), config)
    calibrate(qmodel, images())
    return qmodel


def test_brevitas_layers():
    config = CompressionConfig({
        "conv1": LayerChoice(w_bits=4, a_bits=5),
        "block.0": LayerChoice(w_bits=6, quantizer="symmetric", granularity="channel"),
        "block.2": LayerChoice(w_bits=1, a_bits=8, quantizer="affine"),
        "fc": LayerChoice(w_bits=1, a_bits=4, quantizer="dorefa"),
    })  # fmt: skip
    qmodel = calibrated(config)
    layers = json.loads(json.dumps(brevitas_layers(qmodel)))
    assert layers["conv1"]["layer"] == "QuantConv2d"
    assert layers["conv1"]["kwargs"] == {
        "weight_quant": "Int8WeightPerTensorFloat", "weight_bit_width": 4, "weight_narrow_range": False,
        "input_quant": "Uint8ActPerTensorFloat", "input_bit_width": 5,
    }  # fmt: skip
    assert layers["conv1"]["weight"]["scale"] == float(qmodel.conv1.weight_grid().scale)
    assert layers["block.0"]["kwargs"]["weight_quant"] == "Int8WeightPerChannelFloat"
    assert layers["block.0"]["kwargs"]["weight_narrow_range"] is True
    assert layers["block.0"]["kwargs"]["input_quant"] is None
    assert len(layers["block.0"]["weight"]["scale"]) == 8
    assert layers["block.2"]["kwargs"]["weight_quant"] == "ShiftedUint8WeightPerTensorFloat"
    assert [layers[name]["exact"] for name in TINY_LAYERS] == [True, True, True, False]


def test_brevitas_builds_them():
    if importlib.util.find_spec("brevitas") is None:
        pytest.skip("brevitas is not installed")
    from brevitas import nn as qnn
    from brevitas import quant

    config = CompressionConfig.from_bits(dict.fromkeys(TINY_LAYERS, 4), a_bits=5, granularity="channel")
    about = brevitas_layers(calibrated(config))["conv1"]
    kwargs = {
        key: getattr(quant, value) if key.endswith("_quant") else value for key, value in about["kwargs"].items()
    }
    layer = getattr(qnn, about["layer"])(1, 8, 3, **kwargs)
    assert int(layer.quant_weight().bit_width) == about["weight"]["bit_width"]
