from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import (
    Data,
    QuadrantNet,
    images,
    quadrant_data,
    quadrant_net,
    tiny_net,
)
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.compress.pruning import (
    Cubic,
    OneShot,
    SparseConv2d,
    Stepwise,
    channel_groups,
    get_masks,
    slice_channels,
    to_sparse,
)
from workloads.sparse.proximal import project_sparse
from workloads.training import (
    AdmmHook,
    ChannelPruner,
    MagnitudePruner,
    MaskHook,
    PenaltyHook,
    ProximalHook,
    TrainHook,
    TrainSettings,
    finetune,
    grid_projection,
    measure_accuracy,
    penalty,
    penalty_of,
    sparse_projection,
    sweep_gamma,
)

SETTINGS = TrainSettings(epochs=3, lr=0.1, batch_size=32)


@pytest.fixture(scope="module")
def data() -> Data:
    return quadrant_data()


class Watch(TrainHook):
    """Counts the weights that are zero after every step, and what the optimizer remembers of them."""

    def __init__(self, pruner: MaskHook) -> None:
        self.pruner = pruner
        self.pruned: list[int] = []
        self.leaks = 0

    def after_step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        total = 0
        for name, mask in self.pruner.masks.items():
            parameter = model.get_parameter(name)
            total += int((~mask).sum())
            self.leaks += int(parameter[~mask].ne(0).sum())
            for value in optimizer.state[parameter].values():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    self.leaks += int(value[~mask].ne(0).sum())
        self.pruned.append(total)


def kinds(data: Data) -> dict[str, nn.Module]:
    net = quadrant_net()
    quantized = apply(net, CompressionConfig.from_bits({"conv": 4, "fc": 4}, a_bits=8))
    calibrate(quantized, data.train.x[:64])
    ones = {name: torch.ones_like(net.get_submodule(name).weight) for name in ("conv", "fc")}
    return {"plain": net, "sparse": to_sparse(net, ones), "quantized": quantized}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("kind", ["plain", "sparse", "quantized"])
def test_pruned_weights_are_zero_after_every_step(data: Data, kind: str, optimizer: str) -> None:
    model = kinds(data)[kind]
    pruner = MagnitudePruner(Stepwise(step=0.25, every=1, final=0.5, start=1))
    watch = Watch(pruner)
    finetune(model, data.train, replace(SETTINGS, optimizer=optimizer), device="cpu", hooks=[pruner, watch])
    sizes = [m.weight.numel() for m in (model.conv, model.fc)]
    steps = len(watch.pruned) // 3
    expected = [sum(n - int(n * d + 0.5) for n in sizes) for d in (0.75, 0.5, 0.5)]
    assert watch.pruned == [count for count in expected for _ in range(steps)]
    assert watch.leaks == 0
    if kind != "plain":
        assert {name: float(mask.double().mean()) for name, mask in get_masks(model).items()} == {
            "conv": 0.5, "fc": 0.5,
        }  # fmt: skip


def test_pruning_and_quantizing_train_together(data: Data) -> None:
    model = kinds(data)["quantized"]
    settings = replace(SETTINGS, epochs=8)
    finetune(model, data.train, settings, device="cpu", hooks=[MagnitudePruner(Cubic(final=0.7, end=5))])
    for layer in (model.conv, model.fc):
        weight = layer.effective_weight()
        assert int(weight.ne(0).sum()) <= int(weight.numel() * 0.3 + 0.5)
        assert len(weight.unique()) <= 16
    assert measure_accuracy(model, data.validation).value > 0.9


def test_global_pruning_counts_over_all_layers() -> None:
    model = tiny_net()
    MagnitudePruner(OneShot(final=0.6), scope="global").before_epoch(model, 1)
    weights = [m.weight for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    total = sum(w.numel() for w in weights)
    assert sum(int(w.ne(0).sum()) for w in weights) == int(total * 0.4 + 0.5)


def test_filters_go_with_their_bias_and_blocks_by_pattern() -> None:
    model = tiny_net()
    MagnitudePruner(OneShot(final=0.5), pattern="filter", layers=["block.2"]).before_epoch(model, 1)
    layer = model.block[2]
    dead = layer.weight.flatten(1).eq(0).all(1)
    assert int(dead.sum()) == 6
    assert layer.bias[dead].eq(0).all()
    MagnitudePruner(OneShot(final=0.5), pattern="2:4", layers=["fc"]).before_epoch(model, 1)
    assert model.fc.weight.reshape(4, 3, 4).ne(0).sum(2).eq(2).all()
    with pytest.raises(ConfigError, match=r"'conv1': pattern '2:4' needs input channels.*Name the layers"):
        MagnitudePruner(OneShot(final=0.5), pattern="2:4").before_epoch(model, 1)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("kind", ["sparse", "quantized"])
def test_a_mask_sparser_than_the_schedule_stays_as_it_is(data: Data, kind: str, scope: str) -> None:
    """A quarter is kept; a schedule that asks for half as much brings nothing back."""
    model = kinds(data)[kind]
    masks = {}
    for name in ("conv", "fc"):
        layer = model.get_submodule(name)
        index = torch.arange(layer.weight.numel()).reshape(layer.weight.shape)
        masks[name] = index >= layer.weight.numel() * 3 // 4  # ties among zeros would go to the first
        layer.mask = masks[name].clone()
    MagnitudePruner(OneShot(final=0.5), scope=scope).before_epoch(model, 1)
    assert all(torch.equal(get_masks(model)[name], mask) for name, mask in masks.items())


def test_a_mask_that_was_there_stays(data: Data) -> None:
    net = quadrant_net()
    mask = torch.zeros_like(net.conv.weight, dtype=torch.bool)
    mask[:, :, 1] = True
    model = to_sparse(net, {"conv": mask})
    pruner = MagnitudePruner(OneShot(final=0.8), layers=["conv"])
    pruner.prune(model, 0.8)
    assert isinstance(model.conv, SparseConv2d)
    assert not (model.conv.mask & ~mask).any()
    assert model.conv.mask.sum() == int(mask.numel() * 0.2 + 0.5)


@pytest.mark.parametrize("kind", ["plain", "quantized"])
def test_channels_pruned_in_training_slice_away(data: Data, kind: str) -> None:
    model, x = kinds(data)[kind], data.validation.x
    groups = channel_groups(model, x[:1])
    assert [(g.name, g.size) for g in groups] == [("conv", 8)]
    pruner = ChannelPruner(groups, Stepwise(step=0.25, every=2, final=0.5, start=1))
    watch = Watch(pruner)
    finetune(model, data.train, replace(SETTINGS, epochs=6), device="cpu", hooks=[pruner, watch])
    assert watch.leaks == 0
    assert len(pruner.keep["conv"]) == 4
    sliced = slice_channels(model, groups, pruner.keep, x[:4])
    assert sliced.conv.weight.shape[0] == 4
    assert sliced.fc.in_features == 4 * 16
    with torch.no_grad():
        doubles = [copy.deepcopy(m).double().eval()(x.double()) for m in (model, sliced)]
    assert torch.allclose(*doubles, rtol=1e-12, atol=1e-12)
    assert measure_accuracy(sliced, data.validation) == measure_accuracy(model, data.validation)
    finetune(sliced, data.train, replace(SETTINGS, epochs=1), device="cpu")


def test_hooks_are_called_where_they_say(data: Data) -> None:
    class Log(TrainHook):
        calls: list[str] = []  # noqa: RUF012

        def before_epoch(self, model: nn.Module, epoch: int) -> None:
            self.calls.append(f"epoch {epoch}")

        def extra_loss(self, model: nn.Module) -> None:
            self.calls.append("loss")

        def after_step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            self.calls.append("step")

        def after_training(self, model: nn.Module) -> None:
            self.calls.append("end")

    log, plain = Log(), quadrant_net()
    hooked = quadrant_net()
    settings = TrainSettings(epochs=2, batch_size=128)
    finetune(plain, data.train, settings, device="cpu")
    finetune(hooked, data.train, settings, device="cpu", hooks=[log, TrainHook()])
    per_epoch = ["loss", "step"] * 2
    assert log.calls == ["epoch 1", *per_epoch, "epoch 2", *per_epoch, "end"]
    assert torch.equal(plain.fc.weight, hooked.fc.weight), "a hook that does nothing changes nothing"


# ---- penalties on layers -----------------------------------------------------------------------------


def test_a_penalty_is_of_the_layers_that_are_named() -> None:
    model = tiny_net()
    value = penalty_of(model, penalty("l1"), ["conv1"])
    assert float(value.detach()) == pytest.approx(float(model.conv1.weight.detach().abs().sum()))
    value.backward()
    assert torch.equal(model.conv1.weight.grad, model.conv1.weight.sign())
    assert model.fc.weight.grad is None
    with pytest.raises(ConfigError, match="Did you mean 'conv1'"):
        penalty_of(model, penalty("l1"), ["conv"])


def test_one_step_with_a_penalty_is_a_step_on_the_sum(data: Data) -> None:
    """SGD without momentum: w - lr (g + gamma sign w) = step without penalty - lr gamma sign w."""
    settings = TrainSettings(epochs=1, lr=0.1, batch_size=256, momentum=0, weight_decay=0, warmup_epochs=0,
                             schedule="constant")  # fmt: skip
    start, free, pulled = quadrant_net(), quadrant_net(), quadrant_net()
    finetune(free, data.train, settings, device="cpu")
    finetune(pulled, data.train, settings, device="cpu", hooks=[PenaltyHook(0.5, penalty("l1"), ["conv"])])
    expected = free.conv.weight - 0.1 * 0.5 * start.conv.weight.sign()
    assert torch.allclose(pulled.conv.weight, expected, atol=1e-6)
    assert torch.allclose(pulled.fc.weight, free.fc.weight, atol=1e-6)


@pytest.mark.parametrize("name", ["l1", "group_lasso", "hoyer_square"])
def test_penalties_make_weights_sparse(data: Data, name: str) -> None:
    def trained(*hooks: TrainHook) -> QuadrantNet:
        model = quadrant_net()
        finetune(model, data.train, replace(SETTINGS, epochs=4), device="cpu", hooks=hooks)
        return model

    chosen = penalty(name)
    free, pulled = trained(), trained(PenaltyHook(0.01, chosen, ["fc"]))
    assert chosen.value(pulled.fc.weight.detach()) < chosen.value(free.fc.weight.detach())


def test_proximal_steps_give_exact_zeros(data: Data) -> None:
    model, filters = quadrant_net(), quadrant_net()
    finetune(model, data.train, SETTINGS, device="cpu", hooks=[ProximalHook(0.05, penalty("l1").prox, ["fc"])])
    share = float(model.fc.weight.eq(0).float().mean())
    assert 0.1 < share < 1
    hook = ProximalHook(0.05, penalty("group_lasso", dim=0).prox, ["conv"])
    finetune(filters, data.train, SETTINGS, device="cpu", hooks=[hook])
    rows = filters.conv.weight.flatten(1)
    assert (rows.eq(0).all(1) | rows.ne(0).all(1)).all(), "filters go as a whole"


def test_iterative_hard_thresholding_keeps_a_count(data: Data) -> None:
    model = quadrant_net()
    hook = ProximalHook(0.0, lambda w, _: project_sparse(w, 50), ["fc"])
    finetune(model, data.train, replace(SETTINGS, epochs=6), device="cpu", hooks=[hook])
    assert int(model.fc.weight.ne(0).sum()) == 50
    assert measure_accuracy(model, data.validation).value > 0.9


def test_admm_pulls_weights_into_the_set_before_it_projects(data: Data) -> None:
    class Last(AdmmHook):
        gap = 0.0

        def after_training(self, model: nn.Module) -> None:
            with torch.no_grad():
                weight = model.fc.weight
                self.gap = float((weight - self.projection(weight, "fc")).norm() / weight.norm())
            super().after_training(model)

    gaps = []
    for rho in (1e-9, 0.3):
        model, hook = quadrant_net(), Last(sparse_projection(0.25), rho=rho, layers=["fc"])
        finetune(model, data.train, replace(SETTINGS, epochs=8), device="cpu", hooks=[hook])
        assert int(model.fc.weight.ne(0).sum()) == model.fc.weight.numel() // 4
        gaps.append(hook.gap)
    assert gaps[1] < gaps[0] / 2
    assert measure_accuracy(model, data.validation).value > 0.9


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_grid_projection_is_at_least_as_near_as_any_scanned_step(bits: int) -> None:
    weight = torch.randn(500, generator=torch.Generator().manual_seed(0))
    found, top = grid_projection(bits)(weight, ""), 2 ** (bits - 1) - 1
    codes = found.unique()
    assert len(codes) <= 2 * top + 1
    errors = [
        float((weight - s * (weight / s).round().clamp(-top, top)).square().sum())
        for s in torch.linspace(0.05, 3, 600)
    ]
    assert float((weight - found).square().sum()) <= min(errors) * 1.05


def test_a_sweep_shows_what_gamma_buys(data: Data) -> None:
    model = quadrant_net()
    before = copy.deepcopy(model.state_dict())
    table = sweep_gamma(
        model, data.train, data.validation, replace(SETTINGS, epochs=4), [0.0, 0.01, 0.05], layers=["fc"],
        method="proximal", device="cpu",
    )  # fmt: skip
    assert list(table.columns) == ["gamma", "penalty", "density", "accuracy"]
    assert table.gamma.tolist() == [0.0, 0.01, 0.05]
    assert table.penalty.is_monotonic_decreasing
    assert table.density.is_monotonic_decreasing
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    with pytest.raises(ConfigError, match="has no proximal operator"):
        sweep_gamma(model, data.train, data.validation, SETTINGS, [0.1], chosen=penalty("hoyer"), method="proximal")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MagnitudePruner(OneShot(final=0.5), scope="globl"), "scope must be 'layer', or 'global'"),
        (lambda: MagnitudePruner(OneShot(final=0.5), pattern="rows"), "pattern must be"),
        (lambda: PenaltyHook(-1, penalty("l1")), "`gamma >= 0` must hold"),
        (lambda: PenaltyHook(1, penalty("l0")), "has no gradient. Use ProximalHook"),
        (lambda: AdmmHook(sparse_projection(0.5), rho=0), "`rho > 0` and `every >= 1`"),
        (lambda: sparse_projection(0.0), "`0 < density <= 1`"),
        (lambda: grid_projection(1), "`bits >= 2`"),
    ],
)
def test_bad_requests_are_named(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_the_tiny_net_trains_with_everything_at_once() -> None:
    """Masks, fake quantization, a penalty, channel pruning and a teacher in one run."""
    model, x = tiny_net(), images(32)
    quantized = apply(model, CompressionConfig.from_bits({"conv1": 8, "block.2": 4, "fc": 8}, a_bits=8))
    calibrate(quantized, x)
    groups = channel_groups(quantized, x[:1])
    pruner = ChannelPruner([g for g in groups if g.name == "block.2"], OneShot(final=0.5))
    hooks = [
        pruner,
        MagnitudePruner(OneShot(final=0.75), layers=["conv1", "block.2"]),
        PenaltyHook(1e-4, penalty("l1")),
    ]
    split = type("Split", (), {"x": x, "y": torch.arange(32) % 4})()
    settings = TrainSettings(epochs=2, batch_size=16, distill_weight=0.5)
    finetune(quantized, split, settings, teacher=model, device="cpu", hooks=hooks)
    sliced = slice_channels(quantized, groups, pruner.keep, x[:2])
    assert sliced.block[2].out_channels == 6
    assert int(sliced.block[2].mask.sum()) == 12 * 8 // 4
