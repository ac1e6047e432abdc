"""Separable, grouped and low-rank layers: against the dense ones, against torch's own, and against counts."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import images, tiny_net
from workloads import load_model
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.compress.pruning import model_size
from workloads.rewrite import SeparableConv2d, to_grouped, to_low_rank, to_separable
from workloads.rewrite.depthwise import depthwise_conv
from workloads.rewrite.factors import Candidate, factorize, rank_for_energy, ranks_for_budget

#: Torch says so of even kernels, which pad one side more.
ONE_SIDED = pytest.mark.filterwarnings("ignore:Using padding='same'")
PROPERTY = settings(deadline=None, max_examples=25)


@pytest.fixture(autouse=True, scope="module")
def without_gradients():
    with torch.no_grad():
        yield


def seeded_conv(kind=nn.Conv2d, *args, seed=0, **kwargs):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return kind(*args, **kwargs).double()


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def convolutions(draw, groups=False):
    """A 2-D convolution of any geometry, and an input for it."""
    channels = draw(st.integers(1, 5))
    size = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    conv = seeded_conv(
        nn.Conv2d,
        channels,
        channels * draw(st.integers(1, 3)) if groups else draw(st.integers(1, 6)),
        size,
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        dilation=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        groups=channels if groups else 1,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
        seed=draw(st.integers(0, 99)),
    )
    return conv, noise(2, channels, 11, 9)


def same(model, other, x):
    torch.testing.assert_close(model(x), other(x), rtol=1e-9, atol=1e-9)


# --- depthwise without `groups` ---------------------------------------------------------------------------


@PROPERTY
@given(convolutions(groups=True), st.sampled_from(["loop", "unfold"]))
def test_a_depthwise_convolution_without_groups_is_the_same(case, form):
    conv, x = case
    plain = depthwise_conv(conv, form)
    same(plain, conv, x)
    assert plain.state_dict().keys() == conv.state_dict().keys()
    with torch.enable_grad():
        weights = [torch.autograd.grad(layer(x).square().sum(), conv.weight)[0] for layer in (conv, plain)]
    torch.testing.assert_close(*weights)


@ONE_SIDED
@pytest.mark.parametrize("form", ["loop", "unfold"])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(form, padding):
    conv = seeded_conv(nn.Conv2d, 3, 3, (4, 3), padding=padding, groups=3)
    same(depthwise_conv(conv, form), conv, noise(2, 3, 8, 7))


def test_all_forms_of_a_separable_layer_have_the_same_outputs_macs_and_state():
    model, x = tiny_net().eval(), images(2)
    forms = {form: to_separable(model, x, form=form) for form in ("groups", "loop", "unfold")}
    exact, report = forms["groups"]
    assert report.layers
    for other, its_report in forms.values():
        torch.testing.assert_close(other(x), exact(x))
        assert its_report.after == report.after
        other.load_state_dict(exact.state_dict())


# --- separable --------------------------------------------------------------------------------------------


@PROPERTY
@given(convolutions())
def test_a_separable_layer_of_full_rank_is_the_dense_one(case):
    conv, x = case
    if math.prod(conv.kernel_size) > 1:
        same(to_separable(conv, x, multiplier=16)[0], conv, x)


def test_the_error_of_a_separable_layer_is_that_of_the_singular_values_left_out():
    conv, x = seeded_conv(nn.Conv2d, 4, 6, 3), noise(1, 4, 8, 8)
    _, report = to_separable(conv, x, multiplier=2)
    weight = conv.weight
    lost = sum(float(torch.linalg.svdvals(weight[:, c].flatten(1))[2:].square().sum()) for c in range(4))
    assert report.layers[0].weight_error == pytest.approx(math.sqrt(lost) / float(weight.norm()))


def test_no_other_rank_one_filters_are_closer():
    """Alternating least squares from many starts, an independent way to the optimum, finds nothing better."""
    conv = seeded_conv(nn.Conv2d, 1, 5, 3)
    matrix = conv.weight[:, 0].flatten(1)
    best = math.inf
    for start in range(10):
        right = noise(9, seed=start)
        for _ in range(300):
            left = matrix @ right / right.square().sum()
            right = matrix.T @ left / left.square().sum()
        best = min(best, float((matrix - torch.outer(left, right)).norm() / matrix.norm()))
    _, report = to_separable(conv, noise(1, 1, 6, 6))
    assert report.layers[0].weight_error == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(("channels", "filters", "size", "multiplier"), [(4, 6, 3, 1), (3, 16, 5, 2)])
def test_the_counts_of_a_separable_layer(channels, filters, size, multiplier):
    """MobileNets, section 3.1: D_K^2 M D_F^2 + M N D_F^2 MACs instead of D_K^2 M N D_F^2."""
    conv = nn.Conv2d(channels, filters, size, padding=size // 2)
    _, report = to_separable(conv, torch.zeros(1, channels, 8, 8), multiplier=multiplier)
    inner = channels * multiplier
    assert report.before.parameters == filters * channels * size**2 + filters
    assert report.after.parameters == inner * size**2 + filters * inner + filters
    assert report.before.macs == 64 * filters * channels * size**2
    assert report.after.macs == 64 * (inner * size**2 + filters * inner)
    assert report.after.size_bytes == 4 * report.after.parameters


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv3d])
def test_convolutions_of_other_dimensions(kind):
    conv = seeded_conv(kind, 3, 4, 3, padding=1)
    x = noise(2, 3, *[5] * (conv.weight.dim() - 2))
    same(to_separable(conv, x, multiplier=4)[0], conv, x)
    same(to_low_rank(conv, x, rank=4)[0], conv, x)
    assert to_grouped(seeded_conv(kind, 4, 4, 3), noise(2, 4, *x.shape[2:]), 2)[0].groups == 2


def test_from_scratch_is_reproducible_and_leaves_the_random_state():
    model, x = tiny_net(), images(1)
    state = torch.get_rng_state()
    first, report = to_separable(model, x, layers="conv1", init="random", seed=3)
    second, _ = to_separable(model, x, layers="conv1", init="random", seed=3)
    other, _ = to_separable(model, x, layers="conv1", init="random", seed=4)
    to_low_rank(model, x, rank=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.conv1.depthwise.weight, second.conv1.depthwise.weight)
    assert not torch.equal(first.conv1.depthwise.weight, other.conv1.depthwise.weight)
    assert report.layers[0].weight_error is None


# --- grouped ----------------------------------------------------------------------------------------------


def test_a_grouped_layer_keeps_the_blocks_of_the_diagonal():
    conv, x = seeded_conv(nn.Conv2d, 6, 4, 3, bias=True), noise(1, 6, 7, 7)
    grouped, report = to_grouped(conv, x, 2)
    cut = copy.deepcopy(conv)
    cut.weight[:2, 3:] = 0
    cut.weight[2:, :3] = 0
    same(grouped, cut, x)
    lost = float((conv.weight - cut.weight).norm() / conv.weight.norm())
    assert report.layers[0].weight_error == pytest.approx(lost)
    assert report.after.macs * 2 == report.before.macs


def test_groups_are_split_further():
    conv, x = seeded_conv(nn.Conv2d, 8, 12, 3, groups=2), noise(1, 8, 5, 5)
    at_once = to_grouped(seeded_conv(nn.Conv2d, 8, 12, 3), x, 4)[0]
    in_steps = to_grouped(to_grouped(seeded_conv(nn.Conv2d, 8, 12, 3), x, 2)[0], x, 4)[0]
    same(at_once, in_steps, x)
    assert to_grouped(conv, x, 4)[0].weight.shape == (12, 2, 3, 3)


def test_what_cannot_be_split():
    model, x = tiny_net(), images(1)
    _, report = to_grouped(model, x, 4)
    assert [change.name for change in report.layers] == ["block.2"]
    assert report.skipped["conv1"] == "has 1 input channels, which 4 does not divide"
    with pytest.raises(ConfigError, match=r"'conv1' has 1 input channels.*Leave it out"):
        to_grouped(model, x, 4, layers="conv1")
    with pytest.raises(ConfigError, match="groups must be an integer >= 2"):
        to_grouped(model, x, 1)


# --- low rank ---------------------------------------------------------------------------------------------


@PROPERTY
@given(convolutions(), st.sampled_from(["channel", "spatial"]))
def test_a_convolution_of_full_rank_is_the_same(case, scheme):
    conv, x = case
    same(to_low_rank(conv, x, rank=99, scheme=scheme)[0], conv, x)


@ONE_SIDED
@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_padding_by_name_in_both_schemes(scheme):
    for padding in ("same", "valid"):
        conv = seeded_conv(nn.Conv2d, 2, 3, (4, 3), padding=padding, dilation=(1, 2))
        same(to_low_rank(conv, noise(1, 2, 9, 9), rank=99, scheme=scheme)[0], conv, noise(1, 2, 9, 9))


@PROPERTY
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7), st.integers(0, 99))
def test_eckart_young(rows, columns, rank, seed):
    layer = seeded_conv(nn.Linear, columns, rows, seed=seed)
    small, report = to_low_rank(layer, noise(2, columns), rank=rank)
    values = torch.linalg.svdvals(layer.weight)
    error = math.sqrt(float(values[rank:].square().sum())) / math.sqrt(float(values.square().sum()))
    assert report.layers[0].weight_error == pytest.approx(error, abs=1e-12)
    product = small.second.weight @ small.first.weight
    assert float((product - layer.weight).norm() / layer.weight.norm()) == pytest.approx(error, abs=1e-12)


@pytest.mark.parametrize("rank", [1, 3])
def test_the_error_of_the_spatial_scheme(rank):
    """Tai et al., theorem 1: the best sum of vertical times horizontal filters is an SVD."""
    conv = seeded_conv(nn.Conv2d, 3, 4, (3, 5))
    small, report = to_low_rank(conv, noise(1, 3, 9, 9), rank=rank, scheme="spatial")
    combined = torch.einsum("rcy,krx->kcyx", small.first.weight[..., 0], small.second.weight[:, :, 0])
    values = torch.linalg.svdvals(conv.weight.permute(1, 2, 0, 3).reshape(9, 20))
    error = float(values[rank:].norm())
    assert float((combined - conv.weight).norm()) == pytest.approx(error)
    assert report.layers[0].weight_error == pytest.approx(error / float(conv.weight.norm()))


def test_the_counts_of_both_schemes():
    conv, x = nn.Conv2d(4, 6, (3, 5), padding=(1, 2), bias=False), torch.zeros(1, 4, 8, 8)
    channel = to_low_rank(conv, x, rank=2)[1].after
    spatial = to_low_rank(conv, x, rank=2, scheme="spatial")[1].after
    assert channel.parameters == 2 * (4 * 3 * 5) + 6 * 2
    assert spatial.parameters == 2 * (4 * 3) + 6 * 2 * 5
    assert (channel.macs, spatial.macs) == (64 * channel.parameters, 64 * spatial.parameters)


@PROPERTY
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=8), st.floats(0.01, 1))
def test_the_rank_for_an_energy_is_the_smallest(values, energy):
    s = torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
    shares = (s.square().cumsum(0) / s.square().sum()).tolist()
    rank = rank_for_energy(s, energy)
    assert shares[rank - 1] >= energy - 1e-9
    assert rank == 1 or shares[rank - 2] < energy


def test_an_energy_leaves_layers_that_would_grow():
    """Random weights have no small singular values: at 99.9 % nothing is saved, and nothing changes."""
    model, x = tiny_net(), images(2)
    same_model, report = to_low_rank(model, x, energy=0.999, layers=["block.2", "fc"])
    assert not report.layers
    assert set(report.skipped.values()) == {"would not be smaller"}
    assert report.before == report.after
    assert torch.equal(same_model.eval()(x), model.eval()(x))


def budgets():
    """Layers whose energies a brute-force search can go through."""
    layer = st.tuples(st.lists(st.floats(0.1, 3), min_size=1, max_size=3), st.integers(1, 3), st.integers(4, 12))
    return st.lists(layer, min_size=1, max_size=3)


@PROPERTY
@given(budgets(), st.integers(1, 40))
def test_a_budget_is_kept_and_no_step_more_fits(layers, budget):
    candidates = {
        str(index): Candidate(s=torch.tensor(sorted(s, reverse=True), dtype=torch.float64), per_rank=r, dense=d)
        for index, (s, r, d) in enumerate(layers)
    }
    least = sum(min(c.per_rank, c.dense) for c in candidates.values())
    if budget < least:
        with pytest.raises(ConfigError, match=f"parameters >= {least}"):
            ranks_for_budget(candidates, budget)
        return
    ranks = ranks_for_budget(candidates, budget)
    spent = sum(c.dense if ranks[name] is None else ranks[name] * c.per_rank for name, c in candidates.items())
    assert spent <= budget
    if budget >= sum(c.dense for c in candidates.values()):
        assert set(ranks.values()) == {None}
    for name, candidate in candidates.items():
        rank = ranks[name]
        if rank is not None and (rank + 1) * candidate.per_rank < candidate.dense and rank < len(candidate.s):
            assert spent + candidate.per_rank > budget


def test_a_budget_goes_where_the_energy_is():
    """Two layers of one size: one has rank 1, the other is random."""
    thin, full = torch.outer(noise(12, seed=1), noise(12, seed=2)), noise(12, 12, seed=3)
    model = nn.Sequential(nn.Linear(12, 12, bias=False), nn.Linear(12, 12, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(thin)
        model[1].weight.copy_(full)
    small, report = to_low_rank(model, noise(1, 12), parameters=24 * 4)
    assert (small[0].first.out_features, small[1].first.out_features) == (1, 3)
    assert report.after.parameters == 24 * 4


def test_ranks_by_name_change_these_layers_only():
    model, x = tiny_net(), images(1)
    small, report = to_low_rank(model, x, rank={"fc": 2, "block.*": 3})
    assert [c.name for c in report.layers] == ["block.2", "fc"]
    assert small.fc.first.out_features == 2
    assert small.block[2].first.out_channels == 3


# --- what all transforms share ----------------------------------------------------------------------------

TRANSFORMS = {
    "separable": to_separable,
    "grouped": lambda model, x, **kw: to_grouped(model, x, 4, **kw),
    "low rank": lambda model, x, **kw: to_low_rank(model, x, rank=2, **kw),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_argument_never_changes(transform):
    model, x = tiny_net().train(), images(4)
    before = copy.deepcopy(model)
    changed, report = transform(model, x)
    assert report.layers
    assert str(model) == str(before)
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), before.state_dict().values(), strict=True)
    )
    assert all(module.training for module in changed.modules())
    for parameter in changed.parameters():
        assert parameter.requires_grad
        assert not any(parameter is own for own in model.parameters())


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_report_adds_up(transform):
    model, x = tiny_net(), images(2)
    changed, report = transform(model, x)
    assert report.before == model_size(model, x)
    assert report.after == model_size(changed, x)
    for field in ("parameters", "trainable", "macs", "size_bytes"):
        saved = sum(getattr(c.before, field) - getattr(c.after, field) for c in report.layers)
        assert saved == getattr(report.before, field) - getattr(report.after, field)
    frame = report.to_dataframe()
    assert list(frame["layer"]) == [*(c.name for c in report.layers), "total"]
    assert frame["macs_after"].iloc[-1] == report.after.macs
    assert f"{report.after.parameters:,}" in str(report)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_names_that_do_not_fit(transform):
    model, x = tiny_net(), images(1)
    with pytest.raises(ConfigError, match=r"'blok.2' matched 0 of \d layers\. Did you mean 'block.2'"):
        transform(model, x, layers=["blok.2"])
    with pytest.raises(ConfigError, match=r"'bn1' must be one of .*, but is a BatchNorm2d"):
        transform(model, x, layers=["bn1"])
    _, report = transform(model, x, skip=["block.*"])
    assert not any(c.name.startswith("block") for c in report.layers)


def test_a_layer_used_twice_is_replaced_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = seeded_conv(nn.Conv2d, 4, 4, 3, padding=1).float()
            self.second = self.first

        def forward(self, x):
            return self.second(self.first(x))

    changed, report = to_separable(Twice(), torch.zeros(1, 4, 5, 5))
    assert changed.first is changed.second
    assert report.after.macs == 2 * 25 * (4 * 9 + 4 * 4)
    assert report.after.parameters == 4 * 9 + 4 * 4 + 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give exactly one of rank, energy, parameters, but got none"),
        ({"rank": 1, "energy": 0.5}, "but got rank and energy"),
        ({"rank": 0}, "rank must be an integer >= 1, but got 0"),
        ({"energy": 1.5}, "`0 < energy <= 1` must hold"),
        ({"parameters": 3}, r"`parameters >= \d+` must hold"),
        ({"rank": 1, "scheme": "spacial"}, "Did you mean 'spatial'"),
        ({"rank": {"fc": 2}, "layers": ["fc", "block.2"]}, "rank gives none for 'block.2'"),
    ],
)
def test_criteria_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        to_low_rank(tiny_net(), images(1), **arguments)


def test_a_weight_that_is_not_finite_is_named():
    model = tiny_net()
    model.fc.weight.data[0, 0] = math.nan
    with pytest.raises(ConfigError, match="'fc': its weight must be finite"):
        to_low_rank(model, images(1), rank=1)


def test_transforms_compose_and_are_quantized():
    """Separable, then low rank inside, then 4 bits: each counted."""
    model, x = load_model("resnet20").eval(), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    separable, _ = to_separable(model, x, layers="layer3.*")
    both, report = to_low_rank(separable, x, rank={"layer3.*.pointwise": 8})
    names = [name for name, module in both.named_modules() if type(module) in (nn.Conv2d, nn.Linear)]
    quantized = apply(both, CompressionConfig.from_bits(dict.fromkeys(names, 4), a_bits=8))
    calibrate(quantized, x)
    counted = model_size(quantized, x)
    assert (counted.parameters, counted.macs) == (report.after.parameters, report.after.macs)
    weights = sum(both.get_submodule(name).weight.numel() for name in names)
    assert counted.size_bytes == 4 * (counted.parameters - weights) + math.ceil(weights / 2)
    assert torch.isfinite(quantized.eval()(x)).all()


def test_singular_values_of_a_batch():
    matrices = noise(3, 4, 5)
    left, right = factorize(matrices).halves(2)
    for index, matrix in enumerate(matrices):
        error = float((matrix - left[index] @ right[index]).norm())
        assert error == pytest.approx(float(torch.linalg.svdvals(matrix)[2:].norm()))


@pytest.mark.parametrize("form", ["groups", "loop", "unfold"])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": "same", "multiplier": 3, "bias": False}]
)
def test_a_separable_convolution_to_construct_is_two_plain_ones(form, options):
    torch.manual_seed(0)
    layer = SeparableConv2d(4, 6, 3, form=form, **options)
    x = torch.randn(2, 4, 9, 7)
    depthwise, pointwise = layer.depthwise.weight, layer.pointwise.weight
    plain = {key: value for key, value in options.items() if key in ("stride", "padding", "dilation")}
    middle = torch.nn.functional.conv2d(x, depthwise, groups=4, **plain)
    expected = torch.einsum("kc,bcyx->bkyx", pointwise[:, :, 0, 0], middle)
    if layer.pointwise.bias is not None:
        expected = expected + layer.pointwise.bias[:, None, None]
    assert torch.allclose(layer(x), expected, atol=1e-6)
    m = options.get("multiplier", 1)
    assert sum(p.numel() for p in layer.parameters()) == 4 * m * (9 + 6) + 6 * options.get("bias", True)


def test_a_separable_convolution_refuses_what_it_cannot_be():
    with pytest.raises(ConfigError, match="form must be"):
        SeparableConv2d(4, 6, 3, form="magic")
    with pytest.raises(ConfigError, match="multiplier must be"):
        SeparableConv2d(4, 6, 3, multiplier=0)
