"""LoRA: unchanged at first, trains alone, merges to the same outputs, over float and quantized bases."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import images, quadrant_data, quadrant_net, tiny_net
from workloads import load_model
from workloads.compress import CompressionConfig, LayerChoice, QuantLinear, apply, calibrate
from workloads.rewrite import LoRALayer, add_lora, load_lora, lora_layers, lora_state, merge_lora, save_lora
from workloads.training import TrainSettings, finetune, measure_accuracy

SETTINGS = TrainSettings(epochs=6, lr=0.1, batch_size=32)


@pytest.fixture(scope="module")
def data():
    return quadrant_data()


@pytest.fixture(scope="module")
def trained(data):
    model = quadrant_net()
    finetune(model, data.train, SETTINGS, device="cpu")
    return model


def stirred(model, seed=0):
    """B no longer zero."""
    generator = torch.Generator().manual_seed(seed)
    for _, layer in lora_layers(model):
        layer.lora_b.data.copy_(torch.randn(layer.lora_b.shape, generator=generator))
    return model


def others(model):
    return {name: value.clone() for name, value in model.state_dict().items() if "lora_" not in name}


@pytest.mark.parametrize("layers", [None, "fc", ["block.*", "fc"]])
def test_the_outputs_are_those_of_the_model_at_first(layers):
    model, x = tiny_net().eval(), images(4)
    adapted, report = add_lora(model, x, layers=layers, rank=3)
    assert torch.equal(adapted(x), model(x))
    assert [c.name for c in report.layers] == [name for name, _ in lora_layers(adapted)]


def test_the_equation_of_the_paper():
    """h = W x + (alpha / r) B A x, section 4.1."""
    layer, x = nn.Linear(5, 3), torch.randn(2, 5)
    adapted = stirred(add_lora(layer, x, rank=2, alpha=6)[0])
    a, b = adapted.lora_a, adapted.lora_b
    torch.testing.assert_close(adapted(x), layer(x) + 6 / 2 * (x @ a.T @ b.T))


def test_what_trains_is_counted():
    model, x = tiny_net(), images(1)
    _, report = add_lora(model, x, layers=["conv1", "fc"], rank=2, train="bn1")
    adapters = 2 * (1 * 9 + 8) + 2 * (12 + 4)
    assert report.before.trainable == report.before.parameters
    assert report.after.trainable == adapters + 2 * 8
    assert report.after.parameters == report.before.parameters + adapters
    assert report.after.macs == report.before.macs + 64 * 2 * (9 + 8) + 2 * (12 + 4)


def test_training_moves_the_adapters_alone(trained, data):
    """The running statistics of the norm stay too, though `finetune` puts the model in train mode."""
    adapted, _ = add_lora(trained, data.train.x[:2], layers="fc", rank=2)
    before, score = others(adapted), measure_accuracy(adapted, data.train).value
    finetune(adapted, data.train, TrainSettings(epochs=2, lr=0.05, batch_size=32), device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in others(adapted).items())
    assert adapted.fc.lora_b.abs().max() > 0
    assert measure_accuracy(adapted, data.train).value >= score - 0.02


def test_a_broken_layer_is_repaired_by_its_adapter(trained, data):
    """Shuffled classes: the frozen network with an adapter of rank 4 on its last layer learns them."""
    moved = copy.deepcopy(data.train.y).add(1).remainder(4)
    split = type(data.train)(data.train.x, moved)
    adapted, _ = add_lora(trained, data.train.x[:2], layers="fc", rank=4, alpha=8)
    assert measure_accuracy(adapted, split).value < 0.3
    finetune(adapted, split, SETTINGS, device="cpu")
    assert measure_accuracy(adapted, split).value > 0.9
    merged = merge_lora(adapted)
    assert type(merged.fc) is nn.Linear
    assert measure_accuracy(merged, split) == measure_accuracy(adapted, split)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2),
    st.sampled_from(["zeros", "reflect", "circular"]), st.booleans(),
)  # fmt: skip
def test_a_merged_convolution_is_the_same(groups, width, size, stride, padding, mode, bias):
    with torch.random.fork_rng([]):
        torch.manual_seed(groups + width)
        conv = nn.Conv2d(
            2 * groups, width * groups, size, stride, padding, groups=groups, bias=bias, padding_mode=mode
        ).double()
        x = torch.randn(2, 2 * groups, 7, 6, dtype=torch.float64)
    adapted = stirred(add_lora(conv, x, rank=2, alpha=3)[0])
    merged = merge_lora(adapted)
    assert type(merged) is nn.Conv2d
    torch.testing.assert_close(merged(x), adapted(x))
    assert not torch.allclose(merged(x), conv(x))


def test_a_merged_model_is_plain_and_trainable():
    model, x = tiny_net().eval(), images(4)
    adapted = stirred(add_lora(model, x)[0])
    merged = merge_lora(adapted)
    torch.testing.assert_close(merged(x), adapted(x), rtol=1e-4, atol=1e-5)
    assert [type(m) for m in merged.modules()] == [type(m) for m in model.modules()]
    assert merged.state_dict().keys() == model.state_dict().keys()
    assert all(p.requires_grad for p in merged.parameters())
    assert all(m.training for m in merged.train().modules())
    assert dict(lora_layers(adapted)), "the argument keeps its adapters"


# --- over quantized layers --------------------------------------------------------------------------------


def quantized(model, x, **choice):
    choices = CompressionConfig({name: LayerChoice(**choice) for name in ("conv1", "block.0", "fc")})
    result = apply(model, choices)
    calibrate(result, x)
    return result.eval()


@pytest.mark.parametrize(
    "choice",
    [
        {"w_bits": 4, "a_bits": None},
        {"w_bits": 4, "a_bits": 6},
        {"w_bits": 4, "a_bits": 6, "granularity": "channel", "quantizer": "affine"},
        {"w_bits": 8, "a_bits": None, "density": 0.5},
        {"w_bits": 4, "a_bits": None, "density": 0.5, "pattern": "filter"},
    ],
)
def test_adapters_on_a_frozen_quantized_base(choice):
    base, x = quantized(tiny_net(), images(16), **choice), images(8)
    adapted, report = add_lora(base, x, layers=["conv1", "block.0", "fc"], rank=2)
    assert torch.equal(adapted(x), base(x))
    trainable = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert all("lora_" in name for name in trainable)
    assert report.after.trainable == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    merged = merge_lora(stirred(adapted))
    torch.testing.assert_close(merged(x), adapted(x), rtol=1e-4, atol=1e-5)
    assert type(merged.fc) is (nn.Linear if choice["a_bits"] is None else QuantLinear)


def test_a_quantized_base_is_trained_by_its_adapter(trained, data):
    """The integers stay, and the adapters learn classes that these do not know."""
    config = CompressionConfig.from_bits({"conv": 2, "fc": 2}, a_bits=8)
    split = type(data.train)(data.train.x, (data.train.y + 1) % 4)
    base = apply(trained, config)
    calibrate(base, data.train.x[:64])
    adapted, _ = add_lora(base, data.train.x[:2], layers="fc", rank=4)
    before = others(adapted)
    assert measure_accuracy(adapted, split).value < 0.3
    finetune(adapted, split, SETTINGS, device="cpu")
    assert measure_accuracy(adapted, split).value > 0.9
    assert all(torch.equal(value, before[name]) for name, value in others(adapted).items())


# --- on disk ----------------------------------------------------------------------------------------------


def test_adapters_are_saved_alone_and_load_onto_the_base(tmp_path, trained, data):
    adapted, _ = add_lora(trained, data.train.x[:2], layers="fc", rank=2, alpha=5, train=["conv", "bn"])
    finetune(adapted, data.train, TrainSettings(epochs=1, lr=0.05, batch_size=32), device="cpu")
    path = save_lora(tmp_path / "adapters.safetensors", adapted)
    again = load_lora(path, trained)
    x = data.test.x
    assert torch.equal(again.eval()(x), adapted.eval()(x))
    assert again.fc.alpha == 5
    names = {"conv.weight", "bn.weight", "bn.bias", "fc.lora_a", "fc.lora_b"}
    statistics = {"bn.running_mean", "bn.running_var", "bn.num_batches_tracked"}
    assert lora_state(adapted).keys() == names | statistics, "a norm that trains moves its statistics"
    trainable = {name for name, p in again.named_parameters() if p.requires_grad}
    assert trainable == names


def test_adapters_are_small_on_disk(tmp_path):
    model = load_model("resnet20")
    adapted, report = add_lora(model, torch.zeros(1, 3, 32, 32), layers="fc", rank=1)
    path = save_lora(tmp_path / "adapters.safetensors", adapted)
    assert report.after.trainable == 64 + 10
    assert path.stat().st_size < 4 * report.after.trainable + 600


def test_files_that_do_not_fit(tmp_path):
    x = images(1)
    path = save_lora(tmp_path / "a.safetensors", add_lora(tiny_net(), x, layers="fc")[0])
    with pytest.raises(ConfigError, match=r"a\.safetensors: 'fc' matched 0 of \d+ modules and parameters"):
        load_lora(path, nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(ConfigError, match=r"'fc\.lora_a' must have shape|'fc\.lora_b' must have shape"):
        load_lora(path, type(tiny_net())(num_classes=7))
    with pytest.raises(ConfigError, match="Merge them first"):
        load_lora(path, add_lora(tiny_net(), x, layers="block.2")[0].requires_grad_(True))
    with pytest.raises(ConfigError, match="no LoRA adapter to save"):
        save_lora(tmp_path / "b.safetensors", tiny_net())
    with pytest.raises(ConfigError, match=r"must end in \.safetensors"):
        save_lora(tmp_path / "b.txt", tiny_net())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 0}, "rank must be an integer >= 1"),
        ({"alpha": -1}, "`alpha > 0` must hold"),
        ({"dropout": 1.0}, "`0 <= dropout < 1` must hold"),
        ({"layers": "fb"}, r"'fb' matched 0 of 4 layers"),
        ({"train": "fd"}, r"'fd' matched 0 of \d+ modules and parameters\. Did you mean 'fc'"),
        ({"layers": "bn1"}, "'bn1' must be one of"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        add_lora(tiny_net(), images(1), **arguments)


def test_nothing_to_merge_and_nothing_twice():
    adapted, _ = add_lora(tiny_net(), images(1), layers="fc")
    with pytest.raises(ConfigError, match="no LoRA adapter to merge"):
        merge_lora(tiny_net())
    with pytest.raises(ConfigError, match="has LoRA adapters already"):
        add_lora(adapted, images(1), layers="conv1")


def test_dropout_acts_while_training_only():
    layer, x = nn.Linear(50, 4), torch.ones(1, 50)
    adapted = stirred(add_lora(layer, x, dropout=0.5)[0])
    assert isinstance(adapted, LoRALayer)
    assert torch.equal(adapted.eval()(x), adapted(x))
    with torch.random.fork_rng([]):
        assert not torch.equal(adapted.train()(x), adapted(x))
