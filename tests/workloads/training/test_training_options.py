"""What can be asked of a training run: averages, mixed precision, clipping, compiling; and where NaN is found."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import Data, Split, quadrant_data, quadrant_net
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.compress.pruning import OneShot
from workloads.training import (
    MagnitudePruner,
    TrainHook,
    TrainSettings,
    WeightAverage,
    compile_training,
    finetune,
    measure_accuracy,
)
from workloads.training.step import compiling as compiling_module
from workloads.training.step.precision import Precision

SETTINGS = TrainSettings(epochs=2, lr=0.1, batch_size=32)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> Data:
    return quadrant_data()


def quantized(data: Data, quantizer: str = "lsq", bits: int = 4) -> nn.Module:
    config = CompressionConfig.from_bits({"conv": bits, "fc": bits}, a_bits=bits, quantizer=quantizer)
    model = apply(quadrant_net(), config)
    calibrate(model, data.train.x[:64])
    return model


class Recorder(TrainHook):
    """Keeps a copy of every parameter and running statistic after every step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def after_step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.seen.append({name: value.detach().clone() for name, value in model.state_dict().items()})


# ---- EMA -----------------------------------------------------------------------------------------


def test_the_average_is_that_of_a_loop_by_hand(data: Data) -> None:
    model, recorder = quadrant_net(), Recorder()
    mean = {name: value.double() for name, value in copy.deepcopy(model.state_dict()).items()}
    settings = replace(SETTINGS, ema_decay=0.8)
    history = finetune(
        model, data.train, settings, validation=data.validation, device="cpu", hooks=[recorder]
    ).history
    for n, now in enumerate(recorder.seen, 1):
        keep = min(0.8, (1 + n) / (10 + n))
        mean = {name: keep * mean[name] + (1 - keep) * now[name].double() for name in mean}
    assert len(recorder.seen) == 16
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), mean[name], atol=1e-6), name
        else:
            assert torch.equal(value, recorder.seen[-1][name])
    assert history[-1].ema_validation == measure_accuracy(model, data.validation), "what stays is the average"
    trained = copy.deepcopy(model)
    trained.load_state_dict(recorder.seen[-1])
    assert history[-1].validation == measure_accuracy(trained, data.validation)


def test_pruned_weights_stay_pruned_in_the_average(data: Data) -> None:
    model = quadrant_net()
    pruner = MagnitudePruner(OneShot(final=0.5, start=2))
    finetune(model, data.train, replace(SETTINGS, ema_decay=0.99), device="cpu", hooks=[pruner])
    for name, mask in pruner.masks.items():
        weight = model.get_parameter(name)
        assert 0.4 < (~mask).float().mean() < 0.6
        assert torch.equal(weight != 0, mask)


def test_an_average_is_lent_and_given_back() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = WeightAverage(model, 0.5)
    start = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    now = copy.deepcopy(model.state_dict())
    with average.applied(model):
        assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, now[name]) for name, value in model.state_dict().items())
    with pytest.raises(ConfigError, match="0 < decay < 1"):
        WeightAverage(model, 1.0)


# ---- clipping ------------------------------------------------------------------------------------


def test_the_gradient_is_cut_to_its_length(data: Data) -> None:
    """With plain SGD and no decay a step is lr times the gradient, so its length is lr * min(|g|, clip)."""
    plain = TrainSettings(
        epochs=1, lr=0.5, momentum=0, weight_decay=0, schedule="constant", warmup_epochs=0, batch_size=256
    )

    def step_length(clip: float) -> float:
        model = quadrant_net()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        finetune(model, data.train, replace(plain, clip_norm=clip), device="cpu")
        return math.sqrt(
            sum(float((p.detach() - before[name]).square().sum()) for name, p in model.named_parameters())
        )

    free = step_length(0) / 0.5
    assert step_length(free / 4) == pytest.approx(0.5 * free / 4, rel=1e-3)
    assert step_length(free * 4) == pytest.approx(0.5 * free, rel=1e-6)


# ---- mixed precision -----------------------------------------------------------------------------


@pytest.mark.parametrize("quantizer", ["lsq", "minmax", "pact"])
def test_bfloat16_trains_what_float32_trains(data: Data, quantizer: str) -> None:
    seen: list[torch.dtype] = []
    model = quantized(data, quantizer)
    conv = model.get_submodule("conv")
    handle = conv.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    history = finetune(model, data.train, replace(SETTINGS, epochs=4, amp="bf16"), device="cpu").history
    handle.remove()
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert history[-1].loss < history[0].loss
    assert measure_accuracy(model, data.validation).value > 0.9


def test_grids_are_computed_in_32_bits_under_autocast(data: Data) -> None:
    """An 8-bit grid in bfloat16, with its 8 bits of mantissa, would miss codes."""
    model = quantized(data, bits=8)
    layer: Any = model.get_submodule("fc")
    x = torch.rand(64, layer.in_features).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer.effective_input(x)
    assert torch.equal(out, layer.effective_input(x.float()).bfloat16())


def test_fp16_wants_cuda_and_a_scale_that_works(data: Data) -> None:
    with pytest.raises(ConfigError, match=r"amp='fp16' needs CUDA, but the device is 'cpu'\. Use amp='bf16'"):
        finetune(quadrant_net(), data.train, replace(SETTINGS, amp="fp16"), device="cpu")
    precision = Precision("off", CPU)
    precision.scaler = torch.amp.GradScaler("cpu")  # the same arithmetic as on CUDA
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    precision.backward((weight * 3).sum(), optimizer)
    assert torch.equal(weight.grad, torch.full((2,), 3.0)) if weight.grad is not None else False
    assert precision.step(optimizer)
    assert weight.tolist() == [-0.5, -0.5]
    kept = precision.state()
    works = []
    for _ in range(17):
        optimizer.zero_grad()
        precision.backward((weight * math.inf).sum(), optimizer)
        works.append(precision.step(optimizer))
    assert works == [True] * 16 + [False], "2^16 is below 1 after 17 halvings"
    assert weight.tolist() == [-0.5, -0.5], "an overflow changes nothing"
    precision.restore(kept)
    assert precision.scaler.get_scale() == 2.0**16


# ---- compile -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # what torch.compile does
@pytest.mark.parametrize("quantizer", ["lsq", "minmax"])
def test_compiled_training_takes_the_same_steps(
    data: Data, monkeypatch: pytest.MonkeyPatch, quantizer: str
) -> None:
    monkeypatch.setattr(compiling_module, "BACKEND", "aot_eager")
    monkeypatch.setattr(compiling_module, "check_toolchain", lambda device: None)
    eager, compiled = quantized(data, quantizer), quantized(data, quantizer)
    first = finetune(eager, data.train, SETTINGS, device="cpu").history
    second = finetune(compiled, data.train, replace(SETTINGS, compile=True), device="cpu").history
    assert [r.loss for r in second] == pytest.approx([r.loss for r in first], rel=1e-3)
    assert type(compiled) is type(eager)
    assert list(compiled.state_dict()) == list(eager.state_dict())


def test_without_a_toolchain_the_message_says_what_to_install(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler, and g\+\+, clang\+\+, c\+\+ is not"):
        finetune(quadrant_net(), data.train, replace(SETTINGS, compile=True), device="cpu")
    monkeypatch.setenv("CXX", "my-cxx")
    with pytest.raises(ConfigError, match=r"C\+\+ compiler, and my-cxx is not"):
        compile_training(quadrant_net(), CPU)


# ---- NaN and Inf ---------------------------------------------------------------------------------


class Poison(torch.autograd.Function):
    """The identity, whose gradient is `value` once it is armed."""

    value = 0.0

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x: Tensor = args[0]
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        grad: Tensor = grads[0]
        return grad + Poison.value


class Net(nn.Module):
    """Finite forward; from call `when` on a poisoned gradient between its layers, or an output of Inf."""

    def __init__(self, value: float, *, forward: bool = False, when: int = 11) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.value, self.in_forward, self.when, self.calls = value, forward, when, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        armed = self.calls >= self.when
        x = self.second(self.first(x.flatten(1)).relu())
        if self.in_forward:
            return self.third(x + (self.value if armed else 0.0))
        Poison.value = self.value if armed else 0.0
        middle: Tensor = Poison.apply(x)
        return self.third(middle)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_a_gradient_that_is_not_finite_names_step_and_layer(data: Data, value: float, amp: str) -> None:
    model = Net(value)
    with pytest.raises(
        ConfigError,
        match=r"the loss is finite in epoch 2, step 3 of 8, but the gradient behind the output of 'second' is not "
        r"finite\. Lower lr \(now 0\.01\), or check the data",
    ):
        finetune(model, data.train, replace(SETTINGS, lr=0.01, amp=amp), device="cpu")
    assert all(torch.isfinite(p).all() for p in model.parameters()), "the bad step was not taken"


def test_an_infinite_loss_names_step_and_layer(data: Data) -> None:
    with pytest.raises(ConfigError, match=r"in epoch 2, step 3 of 8: the output of 'third' is not finite"):
        finetune(Net(math.inf, forward=True), data.train, replace(SETTINGS, lr=0.01), device="cpu")
    model = quadrant_net()
    with torch.no_grad():
        model.fc.weight[0, 0] = math.inf
    with pytest.raises(ConfigError, match=r"epoch 1, step 1 of 8: parameter 'fc\.weight' is not finite"):
        finetune(model, data.train, SETTINGS, device="cpu")


# ---- sequences -----------------------------------------------------------------------------------


class Tokens(nn.Module):
    """(N, T) -> (N, T, 7)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 16), nn.Linear(16, 7)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(functional.gelu(self.embed(tokens)))
        return out


def test_language_models_train_with_the_same_options() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(0, 7, (128, 5))
    split = Split(tokens, (tokens + 1) % 7)
    settings = TrainSettings(
        epochs=6,
        lr=0.03,
        optimizer="adam",
        batch_size=16,
        ema_decay=0.9,
        clip_norm=1.0,
        amp="bf16",
        crop=2,
        flip=True,
    )
    history = finetune(Tokens(), split, settings, validation=split, device="cpu").history
    assert history[-1].ema_validation is not None
    assert history[-1].ema_validation.total == 128 * 5
    assert history[-1].ema_validation.value > 0.95
