from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from tests.workloads.pruning.pruning_models import TOYS, picture, randomized, toy
from workloads import load_model, trace
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.compress.pruning import (
    ChannelGroup,
    channel_config,
    channel_groups,
    channel_norms,
    mask_channels,
    model_size,
    pruned_channels,
    select_channels,
    size_table,
    slice_channels,
)

NETWORKS = {
    "lenet5": {}, "resnet8": {"shortcut": "pad"}, "resnet20": {"shortcut": "projection"}, "vgg16": {},
    "mobilenetv2": {"image_size": 32, "num_classes": 10}, "dscnn": {},
}  # fmt: skip


def by_name(groups: tuple[ChannelGroup, ...]) -> dict[str, ChannelGroup]:
    return {group.name: group for group in groups}


def roles(group: ChannelGroup) -> tuple[list[str], list[str], list[str]]:
    return tuple([m.module for m in part] for part in (group.producers, group.carriers, group.consumers))  # type: ignore[return-value]


def every_second(groups: tuple[ChannelGroup, ...]) -> dict[str, range]:
    return {group.name: range(0, group.size, 2) for group in groups}


def gap(first: nn.Module, second: nn.Module, *inputs: Tensor) -> float:
    with torch.no_grad():
        doubles = [x.double() for x in inputs]
        a, b = (copy.deepcopy(m).double().eval()(*doubles) for m in (first, second))
    return float((a - b).abs().max() / a.abs().max())


# ---- groups ------------------------------------------------------------------------------------------


def test_a_residual_joins_what_is_added() -> None:
    groups = by_name(channel_groups(toy("residual"), picture()))
    assert set(groups) == {"first", "inner"}
    assert roles(groups["first"]) == (["first", "outer"], [], ["inner", "fc"])
    assert roles(groups["inner"]) == (["inner"], [], ["outer"])
    assert groups["first"].size == 8
    assert str(groups["first"]) == "first: 8 channels of first, outer -> inner, fc"


def test_a_concatenation_is_an_offset_and_a_flattened_map_a_repeat() -> None:
    groups = by_name(channel_groups(toy("dense"), picture()))
    first, second, third = groups["first"], groups["second"], groups["third"]
    assert [(m.module, m.offset, m.repeat) for m in first.consumers] == [
        ("second", 0, 1), ("third", 0, 1), ("fc", 6 * 4, 4),
    ]  # fmt: skip
    assert [(m.module, m.offset) for m in second.consumers] == [("third", 4)]
    assert [(m.module, m.offset) for m in second.carriers] == [("bn", 4)]
    assert [(m.module, m.offset, m.repeat) for m in third.consumers] == [("fc", 0, 4)]
    assert third.consumers[0].channels == tuple(c for c in range(6) for _ in range(4)) + (-1,) * 16


def test_groups_of_a_convolution_lose_the_same_and_depthwise_carries() -> None:
    groups = by_name(channel_groups(toy("grouped"), picture()))
    assert groups["first"].producers[0].channels == (0, 1, 2, 3, 0, 1, 2, 3)
    grouped = groups["grouped"]
    assert grouped.producers[0].channels == (0, 1, 2, 3, 4, 5) * 2
    depthwise = next(m for m in grouped.carriers if m.module == "depthwise")
    assert depthwise.channels == tuple(c for c in (0, 1, 2, 3, 4, 5) * 2 for _ in range(2))
    assert roles(grouped) == (["grouped"], ["depthwise", "act"], ["last"])


def test_a_module_that_runs_twice_joins_both_of_its_inputs() -> None:
    groups = by_name(channel_groups(toy("shared"), picture()))
    assert roles(groups["left"])[0] == ["left", "right"]
    assert groups["both"].consumers[0].channels == (0, 1, 2, 3, 4, 5) * 2


def test_a_gate_joins_the_channels_that_it_multiplies() -> None:
    groups = by_name(channel_groups(toy("gated"), picture()))
    assert roles(groups["first"]) == (["first", "excite"], [], ["squeeze", "last"])


def test_a_map_that_multiplies_all_channels_joins_none() -> None:
    groups = by_name(channel_groups(toy("attended"), picture()))
    assert set(groups) == {"first", "map.0"}
    assert roles(groups["first"]) == (["first", "second"], [], ["map.0", "second", "last"])
    assert groups["first"].size == 8


def test_what_mixes_channels_fixes_them() -> None:
    groups = by_name(channel_groups(toy("mlp"), picture()))
    assert set(groups) == {"up"}, "the stream under the layer norm stays, the hidden units may go"


def test_inputs_outputs_cuts_and_constants_stay() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1)
            self.d, self.e, self.f = nn.Conv2d(4, 3, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)
            self.scale = nn.Parameter(torch.ones(1, 4, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            halves = self.a(x).chunk(2, 1)  # cut: a stays
            y = self.c(self.b(halves[0] + halves[1]) * self.scale)  # a weight per channel: b stays
            y = self.e(self.d(y.softmax(1)) + x)  # mixed: c stays; added to the input: d stays
            return self.f(y)

    assert [group.name for group in channel_groups(randomized(Odd()), picture())] == ["e"]


def test_stages_of_a_resnet_hang_together_through_padded_shortcuts() -> None:
    model = load_model("resnet8", shortcut="pad")
    groups = by_name(channel_groups(model, model.example_input()))
    stream = groups["layer3.0.conv2"]
    assert stream.size == 64
    ends = {m.module: m.channels for m in stream.producers}
    assert set(ends) == {"conv1", "layer1.0.conv2", "layer2.0.conv2", "layer3.0.conv2"}
    before = (64 - 32) // 2
    assert ends["layer2.0.conv2"] == tuple(range(before, before + 32))
    assert ends["conv1"] == tuple(range(before + 8, before + 24))


def test_shared_weights_and_computed_weights_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5), nn.Linear(5, 2))
    model[4].weight = model[2].weight
    nn.utils.parametrizations.weight_norm(model[0])
    assert channel_groups(model, torch.ones(1, 3)) == ()


def test_the_model_is_left_alone() -> None:
    model = toy("dense").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    channel_groups(model, picture())
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# ---- slicing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_sliced_network_is_the_masked_one(name: str) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = randomized(load_model(name, **NETWORKS[name]))
    x = model.example_input(2)
    groups = channel_groups(model, x)
    masked = copy.deepcopy(model)
    mask_channels(masked, groups, every_second(groups))
    sliced = slice_channels(model, groups, every_second(groups), check=False)
    assert gap(masked, sliced, x) < 1e-12
    assert gap(model, masked, x) > 1e-3, "the mask does something"
    sizes = size_table({"before": model, "after": sliced}, x).set_index("model")
    assert sizes.parameters["after"] == sum(p.numel() for p in sliced.parameters()) < sizes.parameters["before"] / 2
    assert sizes.macs["after"] == trace(sliced, x).macs < sizes.macs["before"] / 2


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_coupling_slices_to_the_masked_outputs(name: str, seed: int) -> None:
    model, x = toy(name), picture()
    groups = channel_groups(model, x)
    generator = torch.Generator().manual_seed(seed)
    keep = {g.name: sorted(torch.randperm(g.size, generator=generator)[: 1 + g.size // 3].tolist()) for g in groups}
    masked = copy.deepcopy(model)
    mask_channels(masked, groups, keep)
    assert gap(masked, slice_channels(model, groups, keep, x), x) < 1e-12


def test_sliced_shapes_follow_from_what_is_kept() -> None:
    model, x = toy("dense"), picture()
    groups = channel_groups(model, x)
    sliced = slice_channels(model, groups, {"first": [0, 3], "third": [5]}, x)
    assert sliced.third.weight.shape == (1, 2 + 5, 3, 3)
    assert sliced.bn.num_features == sliced.bn.weight.numel() == 7
    assert sliced.fc.in_features == (1 + 2) * 4
    assert torch.equal(sliced.third.weight[0, :2], model.third.weight[5, [0, 3]])
    graph = trace(sliced, x)
    assert graph.layer("third").dims.K == 1
    assert graph.layer("third").dims.C == 7
    sliced.train()(x).sum().backward()
    assert all(parameter.grad is not None for parameter in sliced.parameters())


@pytest.mark.parametrize("quantizer", ["lsq", "minmax"])
def test_a_quantized_network_keeps_its_grids(quantizer: str) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = randomized(load_model("resnet8"))
    x = model.example_input(8)
    names = trace(model, x).modules
    quantized = apply(model, CompressionConfig.from_bits(dict.fromkeys(names, 4), a_bits=4, quantizer=quantizer))
    calibrate(quantized, x)
    groups = channel_groups(quantized, x)
    assert [g.name for g in groups] == [g.name for g in channel_groups(model, x)]
    keep = select_channels(quantized, groups, 0.5)
    masked = copy.deepcopy(quantized)
    mask_channels(masked, groups, keep)
    sliced = slice_channels(quantized, groups, keep, x, check=False)
    assert gap(masked, sliced, x) < 1e-12
    assert sliced.conv1.mask is None
    if quantizer == "lsq":
        assert torch.equal(sliced.conv1.weight_quantizer.step, quantized.conv1.weight_quantizer.step)
    size = model_size(sliced, x[:1])
    weights = sum(layer.weights for layer in trace(sliced, x[:1]).weight_layers)
    assert size.size_bits == 4 * weights + 32 * (size.parameters - weights)


def test_a_mask_inside_a_layer_is_sliced_with_it() -> None:
    model, x = toy("residual"), picture()
    config = CompressionConfig.from_bits({"inner": 8, "outer": 8}, density=0.5)
    quantized = apply(model, config)
    groups = channel_groups(quantized, x)
    sliced = slice_channels(quantized, groups, {"inner": [1, 4]}, x)
    assert torch.equal(sliced.inner.mask, quantized.inner.mask[[1, 4]])
    assert torch.equal(sliced.outer.mask, quantized.outer.mask[:, [1, 4]])


def test_a_batch_norms_shift_goes_with_its_channel() -> None:
    """Masking the filter alone leaves the shift; the norm is masked too, and then slicing is exact."""
    model = randomized(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    )
    model[1].bias.data.fill_(1.0)
    x = picture()
    filters = apply(model, CompressionConfig.from_bits({"0": 32}, density=0.5, pattern="filter"))
    groups = channel_groups(filters, x)
    keep = pruned_channels(filters, groups)
    sliced = slice_channels(filters, groups, keep, x)
    assert gap(filters, sliced, x) > 1e-3, "the shift was in the outputs"
    mask_channels(filters, groups, keep)
    assert gap(filters, sliced, x) < 1e-12


def test_a_zero_filter_with_a_bias_is_no_dead_channel() -> None:
    """Its channel is the bias everywhere: it stays. One without a bias goes, and the outputs stay."""
    model = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)))
    with torch.no_grad():
        model[0].weight[[1, 2]] = 0.0
        model[0].bias.copy_(torch.tensor([1.0, 1.0, 0.0, 1.0]))
    x = picture()
    groups = channel_groups(model, x)
    keep = pruned_channels(model, groups)
    assert [kept for name, kept in keep.items() if len(kept) != 3 or 2 not in kept] == [(0, 1, 3)]
    assert gap(model, slice_channels(model, groups, keep, x), x) < 1e-12


def test_a_size_in_the_forward_is_found_out() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4 * 64, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).view(-1, 4 * 64))

    model = Fixed()
    groups = channel_groups(model, picture())
    with pytest.raises(ConfigError, match=r"flatten\(1\)"):
        slice_channels(model, groups, {"conv": [0, 1]}, picture())


def test_bad_channels_are_named() -> None:
    model, x = toy("residual"), picture()
    groups = channel_groups(model, x)
    for keep, message in [
        ({"firts": [0]}, "keep: 'firts' matched 0 of 2 channel groups. Did you mean 'first'"),
        ({"first": []}, "at least one, but got"),
        ({"first": [1, 1]}, "rising channel numbers in 0..7"),
        ({"first": [8]}, "rising channel numbers in 0..7"),
    ]:
        with pytest.raises(ConfigError, match=message):
            slice_channels(model, groups, keep, x)
    with pytest.raises(ConfigError, match="pass one, or check=False"):
        slice_channels(model, groups, {"first": [0]})
    resnet = load_model("resnet8", shortcut="pad")
    stages = channel_groups(resnet, resnet.example_input())
    with pytest.raises(ConfigError, match="must leave 'conv1' at least one channel"):
        slice_channels(resnet, stages, {"layer3.0.conv2": [0, 1]}, check=False)


# ---- which channels ----------------------------------------------------------------------------------


def test_the_largest_norms_over_all_producers_stay() -> None:
    model, x = toy("residual"), picture()
    groups = by_name(channel_groups(model, x))
    expected = sum(getattr(model, name).weight.detach().abs().sum((1, 2, 3)) for name in ("first", "outer"))
    assert torch.allclose(channel_norms(model, groups["first"]).float(), expected)
    keep = select_channels(model, tuple(groups.values()), 0.5)
    assert set(keep["first"]) == set(expected.topk(4).indices.tolist())
    assert {name: len(kept) for name, kept in keep.items()} == {"first": 4, "inner": 3}
    assert len(select_channels(model, tuple(groups.values()), 0.5, multiple=4)["inner"]) == 4


def test_a_global_choice_takes_from_where_norms_are_small() -> None:
    model, x = toy("residual"), picture()
    model.inner.weight.data[1:] *= 0.01
    groups = channel_groups(model, x)
    keep = select_channels(model, groups, 0.5, scope="global")
    assert sum(map(len, keep.values())) == 7
    assert keep["inner"] == (0,)


def test_narrow_stages_keep_a_channel() -> None:
    model = load_model("resnet8", shortcut="pad")
    x = model.example_input()
    model.conv1.weight.data *= 0
    model.layer1[0].conv2.weight.data *= 0
    groups = channel_groups(model, x)
    sliced = slice_channels(model, groups, select_channels(model, groups, 0.1), x)
    assert sliced.conv1.out_channels >= 1


def test_kept_channels_are_a_configuration_and_back() -> None:
    model, x = toy("grouped"), picture()
    groups = channel_groups(model, x)
    keep = {"first": (0, 2), "grouped": (1, 3, 5)}
    config = channel_config(model, groups, keep, CompressionConfig.from_bits({"first": 4, "last": 8}))
    assert config.layers["first"].keep_channels == (0, 2, 4, 6)
    assert config.layers["first"].w_bits == 4
    assert config.layers["grouped"].keep_channels == (1, 3, 5, 7, 9, 11)
    assert "depthwise" not in config.layers, "two filters per channel"
    assert config.layers["last"].w_bits == 8
    masked = apply(model, config)
    assert pruned_channels(masked, groups) == keep
    annotated = config.annotate(trace(model, x))
    assert annotated.layer("first").density.w == 0.5


def test_depthwise_layers_are_configured_with_their_channels() -> None:
    model = load_model("dscnn")
    groups = channel_groups(model, model.example_input())
    keep = select_channels(model, groups, 0.25)
    config = channel_config(model, groups, keep)
    assert config.layers["blocks.0.depthwise"] == config.layers["conv1"]
    assert pruned_channels(apply(model, config), groups) == keep


@pytest.mark.parametrize("quantizer", ["dorefa", "pact"])
def test_a_grid_that_follows_all_weights_is_refused_by_name(quantizer):
    """At 1 bit its step is the mean |w| of the whole weight: with fewer channels it is another."""
    model = load_model("resnet8", in_channels=1, width=4)
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    config = CompressionConfig.from_bits(dict.fromkeys(trace(model, images).modules, 1), quantizer=quantizer)
    compressed = apply(model, config)
    calibrate(compressed, images)
    groups = channel_groups(compressed, images)
    keep = {group.name: tuple(range(group.size // 2)) for group in groups}
    with pytest.raises(ConfigError, match=r"^'conv1': the sliced weights must equal the masked ones"):
        slice_channels(compressed, groups, keep, torch.zeros(1, 1, 8, 8))
