"""What is frozen stays to the last bit, what is named trains, and a new head knows other classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import images, quadrant_data, quadrant_net, tiny_net
from workloads.rewrite import freeze, new_head, thaw
from workloads.training import TrainSettings, finetune, measure_accuracy

SETTINGS = TrainSettings(epochs=2, lr=0.1, batch_size=32)
STATISTICS = {"bn.running_mean", "bn.running_var", "bn.num_batches_tracked"}


@pytest.fixture(scope="module")
def data():
    return quadrant_data()


def moved(model, data):
    """Names of what two epochs change."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    finetune(model, data.train, SETTINGS, device="cpu")
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(
    ("train", "norms", "expected"),
    [
        ("fc", True, {"fc.weight", "fc.bias"}),
        ("fc", False, {"fc.weight", "fc.bias"} | STATISTICS),
        (["fc.bias", "bn"], True, {"fc.bias", "bn.weight", "bn.bias"} | STATISTICS),
    ],
)
def test_what_is_named_trains_and_the_rest_stays(data, train, norms, expected):
    model = quadrant_net()
    frozen = freeze(model, train, norms=norms)
    assert moved(frozen, data) == expected
    assert all(parameter.requires_grad for parameter in model.parameters()), "the argument stays as it was"


def test_a_thawed_model_trains_whole(data):
    frozen = freeze(quadrant_net(), "fc")
    thawed = thaw(frozen)
    assert [type(m) for m in thawed.modules()] == [type(m) for m in quadrant_net().modules()]
    assert moved(thawed, data) == set(quadrant_net().state_dict())
    assert moved(frozen, data) == {"fc.weight", "fc.bias"}, "the argument stays frozen"


def test_a_name_that_is_none_is_offered():
    with pytest.raises(ConfigError, match=r"'fd' matched 0 of \d+ modules and parameters\. Did you mean 'fc'"):
        freeze(tiny_net(), "fd")


def test_a_new_head_alone_learns_other_classes(data):
    """The classes of trained features are renamed: the head that knows them is gone, and learned again."""
    model = quadrant_net()
    finetune(model, data.train, TrainSettings(epochs=6, lr=0.1, batch_size=32), device="cpu")
    other = new_head(model, "fc", 4, seed=1)
    assert measure_accuracy(other, data.train).value < 0.8 < measure_accuracy(model, data.train).value
    assert all(
        torch.equal(value, model.state_dict()[name])
        for name, value in other.state_dict().items() if not name.startswith("fc.")
    )  # fmt: skip
    head = freeze(other, "fc")
    finetune(head, data.train, TrainSettings(epochs=6, lr=0.1, batch_size=32), device="cpu")
    assert measure_accuracy(head, data.train).value > 0.9


def test_a_head_is_seeded_and_has_the_classes_asked_for():
    model, x = tiny_net().half(), images(2)
    first, again, other = (new_head(model, "fc", 7, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.fc.weight, again.fc.weight) and not torch.equal(first.fc.weight, other.fc.weight)
    assert first.fc.weight.dtype == torch.float16, "as the layer that it replaces"
    assert first.float()(x).shape == (2, 7)
    assert model.fc.out_features == 4
    assert new_head(nn.Sequential(nn.Linear(3, 4, bias=False)), "0", 2)[0].bias is None


@pytest.mark.parametrize(
    ("layer", "classes", "message"),
    [
        ("head", 3, r"'head' matched 0 of 1 layers"),
        ("conv1", 3, "'conv1' must be one of Linear, but is a Conv2d"),
        ("fc", 0, "num_classes must be an integer >= 1, but got 0"),
    ],
)
def test_a_head_that_is_none_is_refused(layer, classes, message):
    with pytest.raises(ConfigError, match=message):
        new_head(tiny_net(), layer, classes)
