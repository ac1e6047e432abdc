from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import tiny_net
from workloads import trace
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate, quantized_layers
from workloads.compress.pruning import (
    Cubic,
    OneShot,
    SparseConv1d,
    SparseConv2d,
    SparseConv3d,
    SparseLinear,
    Stepwise,
    from_torch_prune,
    get_masks,
    global_densities,
    global_masks,
    model_size,
    set_masks,
    to_sparse,
    to_torch_prune,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- schedules ---------------------------------------------------------------------------------------


def test_ten_percent_every_ten_epochs_to_fifty() -> None:
    schedule = Stepwise()
    by_epoch = {1: 0.0, 10: 0.0, 11: 0.1, 20: 0.1, 21: 0.2, 41: 0.4, 51: 0.5, 61: 0.5, 1000: 0.5}
    assert {epoch: pytest.approx(schedule.sparsity(epoch)) for epoch in by_epoch} == by_epoch
    assert Stepwise(start=1).sparsity(1) == 0.1


def test_the_cubic_schedule_is_the_papers() -> None:
    """Zhu & Gupta 2017, eq. 1: s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3."""
    schedule = Cubic(final=0.9, initial=0.1, start=3, end=13)
    for epoch in range(3, 14):
        expected = 0.9 + (0.1 - 0.9) * (1 - (epoch - 3) / 10) ** 3
        assert schedule.sparsity(epoch) == pytest.approx(expected)
    assert schedule.sparsity(2) == 0.0
    assert schedule.sparsity(50) == 0.9
    steps = Cubic(final=0.9, start=1, end=9, every=4)
    assert len({steps.sparsity(epoch) for epoch in range(1, 9)}) == 2


def test_one_shot() -> None:
    assert [OneShot(final=0.7, start=2).sparsity(epoch) for epoch in (1, 2, 9)] == [0.0, 0.7, 0.7]


@settings(max_examples=30, deadline=None)
@given(
    final=st.floats(0, 0.99), start=st.integers(1, 9), length=st.integers(1, 20), every=st.integers(1, 5),
    step=st.floats(0.01, 1),
)  # fmt: skip
def test_schedules_rise_to_their_end(final: float, start: int, length: int, every: int, step: float) -> None:
    for schedule in (
        OneShot(final=final, start=start),
        Stepwise(final=final, start=start, every=every, step=step),
        Cubic(final=final, start=start, end=start + length, every=every),
    ):
        values = [schedule.sparsity(epoch) for epoch in range(1, 600)]
        assert values == sorted(values)
        assert values[-1] == final
        assert all(value == 0 for value in values[: start - 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneShot(final=1.0), "`0 <= final < 1` must hold, but got final=1.0"),
        (lambda: Stepwise(every=0), "`every >= 1` must hold"),
        (lambda: Stepwise(step=0), "`0 < step <= 1` must hold"),
        (lambda: Cubic(final=0.5, start=4, end=4), "`start < end` must hold"),
        (lambda: Cubic(final=0.5, initial=0.6, end=4), "`initial <= final` must hold"),
    ],
)
def test_impossible_schedules_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


# ---- global magnitudes -------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), density=st.floats(0.01, 1), seed=st.integers(0, 99)
)
def test_global_masks_keep_the_largest_of_all(sizes: list[int], density: float, seed: int) -> None:
    weights = {str(i): normal(n, seed=seed + i) * (i + 1) for i, n in enumerate(sizes)}
    masks = global_masks(weights, density)
    wanted = max(1, math.floor(sum(sizes) * density + 0.5))
    everything = torch.cat([w.abs() for w in weights.values()]).sort(descending=True).values
    bar = everything[wanted - 1]
    rescued = 0
    for name, weight in weights.items():
        above = weight.abs() >= bar
        if above.any():
            assert torch.equal(masks[name], above)
        else:
            rescued += 1
            assert masks[name].sum() == 1
            assert masks[name][weight.abs().argmax()]
    assert sum(int(mask.sum()) for mask in masks.values()) == wanted + rescued


def test_global_densities_are_a_configuration_with_the_same_masks() -> None:
    model = tiny_net()
    densities = global_densities(model, 0.3)
    masks = global_masks({name: model.get_submodule(name).weight for name in densities}, 0.3)
    pruned = apply(model, CompressionConfig({n: LayerChoice(density=d) for n, d in densities.items()}))
    found = get_masks(pruned)
    assert all(torch.equal(found[name], mask) for name, mask in masks.items() if densities[name] < 1)


# ---- layers with masks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "plain", "args", "shape"),
    [
        (SparseLinear, nn.Linear, (6, 4), (2, 6)),
        (SparseConv1d, nn.Conv1d, (3, 4, 3), (2, 3, 8)),
        (SparseConv2d, nn.Conv2d, (4, 4, 3, 1, 1, 1, 2), (2, 4, 8, 8)),
        (SparseConv3d, nn.Conv3d, (2, 3, 2), (1, 2, 4, 4, 4)),
    ],
)
def test_sparse_layers_are_drop_in(kind: type, plain: type, args: tuple[int, ...], shape: tuple[int, ...]) -> None:
    layer, x = kind(*args), normal(*shape)
    dense = plain(*args)
    dense.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "mask"})
    assert torch.equal(layer(x), dense(x)), "all weights stay at first"
    assert set(layer.state_dict()) == {"weight", "bias", "mask"}
    layer.mask = normal(*layer.weight.shape, seed=3) > 0
    with torch.no_grad():
        dense.weight *= layer.mask
    assert torch.equal(layer(x), dense(x))
    layer(x).square().sum().backward()
    assert torch.equal(layer.weight.grad != 0, layer.mask), "a pruned weight gets no gradient"
    other = kind(*args)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))
    assert layer.density == pytest.approx(float(layer.mask.float().mean()))
    assert f"density={layer.density:.3g}" in repr(layer)


def test_a_shared_weight_is_stored_once() -> None:
    """8 x 8 weights in two layers, and a bias each; one bias is frozen."""
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    second.bias.requires_grad_(False)
    size = model_size(nn.Sequential(first, second), normal(1, 8))
    assert (size.parameters, size.trainable, size.macs) == (64 + 2 * 8, 64 + 8, 2 * 64)
    assert (size.size_bits, size.size_bytes) == (32 * size.parameters, 4 * size.parameters)


def test_weights_pruned_by_hooks_are_no_weights() -> None:
    """torch keeps the whole weight as `weight_orig`; its mask removes half of 64, and the bias stays."""
    model = nn.Sequential(nn.Linear(8, 8))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    size = model_size(model, normal(1, 8))
    assert (size.parameters, size.nonzero) == (64 + 8, 32 + 8)


def test_a_model_becomes_sparse_and_dense_again() -> None:
    model = tiny_net()
    masks = {name: normal(*model.get_submodule(name).weight.shape) > 0 for name in ("conv1", "block.0", "fc")}
    sparse = to_sparse(model, masks)
    assert type(sparse.conv1) is SparseConv2d
    assert type(model.conv1) is nn.Conv2d
    assert all(torch.equal(get_masks(sparse)[name], mask) for name, mask in masks.items())
    x = normal(2, 1, 8, 8)
    assert trace(sparse, x).macs == trace(model, x).macs
    size = model_size(sparse, x)
    kept = sum(int((mask & model.get_submodule(name).weight.ne(0)).sum()) for name, mask in masks.items())
    rest = {n: p for n, p in model.named_parameters() if n.removesuffix(".weight") not in masks}
    assert size.nonzero == kept + sum(int(p.ne(0).sum()) for p in rest.values())
    back = to_torch_prune(sparse)
    assert prune.is_pruned(back.conv1)
    again = from_torch_prune(back)
    for other in (back, again):
        assert torch.allclose(other(x), sparse(x))
        assert model_size(other, x) == size
    assert {n: m.tolist() for n, m in get_masks(again).items()} == {n: m.tolist() for n, m in masks.items()}


def test_what_torch_prunes_is_read() -> None:
    model = tiny_net()
    prune.l1_unstructured(model.conv1, "weight", amount=0.5)
    prune.ln_structured(model.fc, "weight", amount=0.25, n=1, dim=0)
    sparse = from_torch_prune(model)
    x = normal(2, 1, 8, 8)
    assert torch.equal(sparse(x), model(x))
    assert sparse.conv1.density == 0.5
    assert sparse.fc.mask.any(1).sum() == 3
    assert prune.is_pruned(model.conv1), "the model is left alone"


def test_masks_and_quantizers_compose_in_either_order() -> None:
    model, x = tiny_net(), normal(8, 1, 8, 8)
    masks = {name: normal(*model.get_submodule(name).weight.shape, seed=4) > 0 for name in ("conv1", "fc")}
    config = CompressionConfig.from_bits({"conv1": 4, "fc": 4}, a_bits=8, quantizer="lsq")
    first = apply(to_sparse(model, masks), config)
    second = apply(model, config)
    set_masks(second, masks)
    for compressed in (first, second):
        calibrate(compressed, x)
        for name, layer in quantized_layers(compressed):
            weight = layer.effective_weight()
            assert torch.equal(weight == 0, ~masks[name] | (weight == 0))
            assert len(weight.unique()) <= 2**4
            assert (weight[masks[name]] != 0).any()
    assert torch.equal(first(x), second(x))
    both = apply(to_sparse(model, masks), CompressionConfig.from_bits({"fc": 4}, density=0.25))
    assert not (get_masks(both)["fc"] & ~masks["fc"]).any(), "both masks are in force"


def test_bad_masks_are_named() -> None:
    model = tiny_net()
    with pytest.raises(ConfigError, match=r"'conv' matched 0 of 4 plain.*Did you mean 'conv1'"):
        to_sparse(model, {"conv": torch.ones(1)})
    with pytest.raises(
        ConfigError, match=r"'fc': the mask must broadcast to the weight \(4, 12\), but is \(4, 11\)"
    ):
        to_sparse(model, {"fc": torch.ones(4, 11)})
    with pytest.raises(ConfigError, match="Use to_sparse"):
        set_masks(model, {"fc": torch.ones(4, 12)})
    with pytest.raises(ConfigError, match="`0 < density <= 1`"):
        global_masks({"fc": model.fc.weight}, 0.0)
