"""Channels through modules with a forward of their own: followed by the ops that run."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from tests.workloads.own_forwards import CastLinear, NormAct, StandardisedConv, small_network
from tests.workloads.pruning.pruning_models import randomized
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.compress.pruning import channel_groups, mask_channels, slice_channels


def image() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_padding_norms_with_activation_and_casts_are_followed() -> None:
    groups = {group.name: group for group in channel_groups(randomized(small_network()), image())}
    members = {name: [(m.module, m.role) for m in group.members] for name, group in groups.items()}
    assert members == {
        "0": [("0", "producer"), ("1", "carrier"), ("2", "carrier"), ("3", "carrier"), ("4", "consumer")],
        "6": [("6", "producer"), ("7", "carrier"), ("9", "consumer")],
        "9": [("9", "producer"), ("11", "consumer")],
    }
    assert [groups[name].size for name in ("0", "6", "9")] == [8, 10, 12]


def test_what_keeps_the_others_is_said() -> None:
    groups = channel_groups(small_network(), image())
    assert {kept.module: (kept.channels, kept.reason) for kept in groups.kept} == {
        "4": (6, "6 (StandardisedConv) makes its weight of all input channels together"),
        "11": (5, "they leave the network"),
    }
    assert str(groups).splitlines()[-2:] == [str(kept) for kept in groups.kept]


@pytest.mark.parametrize("compressed", [False, True])
def test_the_sliced_network_is_the_masked_one(compressed: bool) -> None:
    model, x = randomized(small_network()), image()
    if compressed:
        model = apply(model, CompressionConfig.from_bits({"*": 6}, a_bits=8))
        calibrate(model, [x])
    groups = channel_groups(model, x)
    assert [group.name for group in groups] == ["0", "6", "9"]
    keep = {group.name: range(0, group.size, 2) for group in groups}
    small = slice_channels(model, groups, keep, x)  # compares in float64
    masked = copy.deepcopy(model)
    mask_channels(masked, groups, keep)
    with torch.no_grad():
        torch.testing.assert_close(small.eval()(x), masked.eval()(x))
        assert not torch.allclose(masked(x), model.eval()(x), atol=1e-3), "the mask does something"
    assert [small[i].weight.shape[0] for i in (0, 1, 2, 3, 6, 7, 9)] == [4, 4, 4, 4, 5, 5, 6]
    assert (small[2].groups, small[6].out_channels, len(small[6].gain)) == (4, 5, 5)


class Norm(nn.BatchNorm2d):
    """Scales each channel again, by numbers that slicing would not find."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.again = torch.linspace(1, 2, channels).reshape(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.again


class Softmaxed(nn.Linear):
    """Filters compete: none can go alone."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.softmax(0), self.bias)


class Last(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


@pytest.mark.parametrize(
    ("layers", "reasons"),
    [
        ([nn.Conv2d(3, 4, 1), Norm(4), nn.Conv2d(4, 2, 1)], ["1 (mul) joins each with a number of its own"]),
        ([nn.Conv2d(3, 4, 1), Last(4), nn.Conv2d(4, 2, 1)], ["1 (softmax) mixes or cuts them"]),
        ([nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1)], ["1 (group_norm) mixes or cuts them"]),
        ([nn.Flatten(), Softmaxed(192, 4), nn.Linear(4, 2)],
         ["1 (Softmaxed) makes its weight of all filters together"]),
    ],
)  # fmt: skip
def test_what_a_forward_does_besides_keeps_its_channels(layers: list[nn.Module], reasons: list[str]) -> None:
    with pytest.warns(UserWarning, match="no channel of this Sequential can be removed"):
        groups = channel_groups(nn.Sequential(*layers), image())
    assert [kept.reason for kept in groups.kept] == [*reasons, "they leave the network"]


def test_a_standardised_depthwise_convolution_carries() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 1), StandardisedConv(6, 6, 3, groups=6), NormAct(6), nn.Flatten(), CastLinear(6 * 36, 2)
    )
    x = image()
    groups = channel_groups(randomized(model), x)
    assert [(m.module, m.role) for m in groups[0].members] == [
        ("0", "producer"), ("1", "carrier"), ("2", "carrier"), ("4", "consumer"),
    ]  # fmt: skip
    slice_channels(model, groups, {"0": [1, 4]}, x)


def test_integers_refuse_a_forward_that_they_do_not_know() -> None:
    from workloads.integer import psum_errors

    qmodel = apply(small_network(), CompressionConfig.from_bits({"*": 8}, a_bits=8, quantizer="affine")).eval()
    calibrate(qmodel, [image()])
    with pytest.raises(ConfigError, match="'0': the forward of PaddedConv is its own"):
        psum_errors(qmodel, image())
