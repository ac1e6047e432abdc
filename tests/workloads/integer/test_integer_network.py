"""Integer networks against quantized models and float64 references, to the last bit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.integer.integer_models import Chain, Everything, batch, quantized, seeded
from workloads import load_data, load_model
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate, load_weights, quantized_layers
from workloads.integer import IntegerNetwork, fake_quantized, integerize, psum_errors
from workloads.integer.operands import capture_inputs
from workloads.integer.steps import LayerStep
from workloads.training import TrainSettings, finetune, measure_accuracy


def assert_equals_reference(network: IntegerNetwork, x: torch.Tensor) -> None:
    """Every code of every tensor; of the output, the accumulators."""
    values, tensors = fake_quantized(network, x), network.codes(x)
    for step in network.steps:
        codes = tensors[step.name]
        assert not codes.is_floating_point() and codes.dtype == step.grid.dtype
        if isinstance(step, LayerStep) and step.requant is None:
            torch.testing.assert_close(values[step.name], network.scores(codes), rtol=1e-14, atol=0)
        else:
            assert torch.equal(torch.round(values[step.name] / step.grid.scale) + step.grid.zero, codes.double())


@pytest.mark.parametrize("rounding", ["round", "half_up", "floor"])
@pytest.mark.parametrize("multiplier", ["float", "fixed", "reciprocal"])
@pytest.mark.parametrize(("quantizer", "bits"), [("affine", 8), ("lsq", 4)])
def test_integers_equal_the_float64_reference(quantizer, bits, multiplier, rounding):
    x = batch()
    for build in (Chain, Everything):
        qmodel = quantized(seeded(build), x, bits, quantizer, granularity="channel")
        assert_equals_reference(integerize(qmodel, x, multiplier=multiplier, rounding=rounding), batch(8, seed=5))


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
@pytest.mark.parametrize(("quantizer", "bits"), [("affine", 8), ("symmetric", 5), ("lsq", 3), ("affine", 2)])
def test_a_chain_computes_the_codes_of_the_quantized_model_itself(quantizer, bits, rounding):
    """Without biases the model has nothing that the integers have not: in float64 every code agrees."""
    x = batch()
    qmodel = quantized(seeded(Chain), x, bits, quantizer, rounding=rounding).double()
    network = integerize(
        qmodel, x.double(), multiplier="float", rounding="round" if rounding == "nearest" else "floor"
    )
    fresh = batch(32, seed=9).double()
    tensors = network.codes(fresh)
    layers = dict(quantized_layers(qmodel))
    inputs = capture_inputs(qmodel, layers, fresh)
    for name, layer in layers.items():
        expected = layer.input_grid().codes(inputs[name])
        assert torch.equal(tensors[network.layers[name].inputs[0]].to(torch.int32), expected)
    torch.testing.assert_close(network(fresh), qmodel(fresh).detach(), rtol=1e-12, atol=1e-12)


def test_a_layer_and_its_norm_by_hand():
    """y = g (w x + b) + beta at w = 2 s_w, on steps that are powers of two."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0), nn.Conv2d(1, 1, 1, bias=False))
    conv, norm, last = model
    s_w, s_x = 1 / 64, 1 / 4
    conv.weight.data.fill_(127 * s_w)
    conv.bias.data.fill_(3.0)
    norm.running_var.fill_(4.0)
    norm.weight.data.fill_(-1.0)
    norm.bias.data.fill_(0.5)
    last.weight.data.fill_(1.0)
    model.eval()
    x = torch.tensor([0.0, 5.0, 31.75]).reshape(3, 1, 1, 1)
    choice = LayerChoice(w_bits=8, a_bits=8, quantizer="symmetric")
    qmodel = apply(model, CompressionConfig({"0": choice, "2": choice})).eval()
    calibrate(qmodel, torch.cat([x, torch.tensor([63.75]).reshape(1, 1, 1, 1)]))
    network = integerize(qmodel, x)
    layer = network.layers["0"]
    factor, shift = -1 / 2, 0.5  # gamma / sqrt(4), beta
    assert layer.in_grid.scale == s_x and layer.w_int.item() == 127
    assert layer.scale.tolist() == [factor * s_w * s_x]
    assert layer.bias.tolist() == [round((3.0 + shift / factor) / (s_w * s_x))]
    sums = layer.accumulators(network.codes(x)[layer.inputs[0]])
    assert sums.flatten().tolist() == [127 * round(v / s_x) + layer.bias.item() for v in (0.0, 5.0, 31.75)]


def test_a_norm_that_multiplies_by_zero_makes_a_constant():
    model = seeded(Everything)
    model.norm.weight.data[1] = 0.0
    model.norm.weight.data[2] = 1e-20
    x = batch()
    qmodel = quantized(model, x)
    network = integerize(qmodel, x, stream_bits=12)
    assert not network.layers["stem"].w_int[1:3].any()
    assert_equals_reference(network, x)
    torch.testing.assert_close(network(x), qmodel(x).detach().double(), rtol=0.02, atol=0.02)


def test_the_zero_point_is_corrected_at_the_borders_too():
    x = batch() + 0.7  # an affine grid whose zero point is neither end
    network = integerize(quantized(seeded(Chain), x), x)
    step = network.layers["conv1"]
    assert step.in_grid.zero not in (0, step.in_grid.qmax) and step.correction.any()
    codes = network.codes(x)[step.inputs[0]]
    x_int = codes.to(torch.int64) - step.in_grid.zero
    expected = torch.conv2d(x_int, step.w_int.to(torch.int64), padding=1)  # torch's own int64 convolution
    assert torch.equal(step.psums(codes), expected)
    assert torch.equal(step.accumulators(codes), expected + step.bias.reshape(-1, 1, 1))


def test_wider_streams_come_closer_to_the_quantized_model():
    x = batch(64)
    qmodel = quantized(seeded(Everything), x, granularity="channel")
    errors = [
        float((integerize(qmodel, x, stream_bits=bits)(x) - qmodel(x).detach()).abs().mean()) for bits in (4, 8, 16)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("name", ["lenet5", "resnet8"])
def test_a_trained_network_keeps_its_accuracy(name):
    """Eight bits on the digits: integers may cost 1 % at most, and equal the reference to the last bit."""
    data = load_data("digits", size=32)
    model = load_model(name, in_channels=1, **({"width": 8} if name == "resnet8" else {}))
    train = data.train.take(512)
    finetune(model, train, TrainSettings.from_scratch(epochs=8), device="cpu")
    qmodel = quantized(model, train.x[:128], granularity="channel")
    network = integerize(qmodel, train.x[:128])
    held_out = data.validation.take(200)
    fake, integer = measure_accuracy(qmodel, held_out), measure_accuracy(network, held_out)
    assert fake.value > 0.5 and integer.value >= fake.interval.low
    assert_equals_reference(network, held_out.x[:20])


DATA = Path(os.environ.get("HWMODEL_DATA", "absent"))


@pytest.mark.skipif(not (DATA / "mnist.npz").is_file(), reason="needs HWMODEL_DATA/mnist.npz")
def test_lenet_on_mnist():
    data = load_data("mnist", path=DATA / "mnist.npz", size=32)
    model = load_model("lenet5")
    train = data.train.take(2000)
    finetune(model, train, TrainSettings.from_scratch(epochs=3), device="cpu")
    qmodel = quantized(model, train.x[:128], granularity="channel")
    network = integerize(qmodel, train.x[:128])
    held_out = data.test.take(500)
    fake, integer = measure_accuracy(qmodel, held_out), measure_accuracy(network, held_out)
    assert fake.value > 0.7 and integer.value >= fake.interval.low
    assert_equals_reference(network, held_out.x[:50])


@pytest.mark.skipif(not (DATA / "weights").is_dir(), reason="needs HWMODEL_DATA/weights")
@pytest.mark.parametrize("multiplier", ["float", "fixed"])
def test_the_published_resnet20_equals_its_reference(multiplier):
    model = load_model("resnet20", shortcut="pad")
    load_weights(DATA / "weights" / "resnet20_cifar10.npz", model)
    x = model.example_input(4)
    qmodel = quantized(model.eval(), x, granularity="channel")
    assert_equals_reference(integerize(qmodel, x, multiplier=multiplier), x)
    assert all(error.relative < 1e-5 for error in psum_errors(qmodel, x))


def test_the_table_of_steps():
    network = integerize(quantized(seeded(Everything), batch()), batch())
    frame = network.to_dataframe()
    assert list(frame["step"]) == [step.name for step in network.steps]
    assert {"input", "layer", "combine", "average", "move", "concat", "table"} == set(frame["kind"])
    layers = frame[frame["kind"] == "layer"]
    assert (layers["w_min"] >= -255).all() and (layers["w_max"] <= 255).all()


def test_what_has_no_integers_is_refused():
    x = batch()
    partly = apply(seeded(Chain), CompressionConfig.from_bits({"conv1": 8}, a_bits=8, quantizer="affine"))
    calibrate(partly, x)
    with pytest.raises(ConfigError, match="'conv2' is float"):
        integerize(partly, x)
    with pytest.raises(ConfigError, match=r"'conv1'.*zero point.*Use quantizer"):
        integerize(quantized(seeded(Chain), x, 4, "lsq+"), x)
    alone = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)).eval()
    with pytest.raises(ConfigError, match="must follow a convolution"):
        integerize(quantized(alone, x), x)
    unknown = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Softmax(1)).eval()
    with pytest.raises(ConfigError, match=r"Softmax.*no integer arithmetic"):
        integerize(quantized(unknown, x), x)
    good = quantized(seeded(Chain), x)
    with pytest.raises(ConfigError, match="Did you mean 'fixed'"):
        integerize(good, x, multiplier="fixd")
    with pytest.raises(ConfigError, match="stream_bits"):
        integerize(good, x, stream_bits=0)
    with pytest.raises(ConfigError, match="multiplier_bits"):
        integerize(good, x, multiplier_bits=40)


def test_sums_beyond_32_bits_are_refused():
    model = nn.Sequential(nn.Linear(1024, 4)).eval()
    x = torch.randn(4, 1024, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match="beyond 32 bits"):
        integerize(quantized(model, x, 16), x)
