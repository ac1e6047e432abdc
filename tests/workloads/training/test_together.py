"""Candidates that train as one get what each gets alone.

The numbers are float64: in float32 rounding noise moves single values across the borders of coarse grids, and runs
that are the same drift apart; here what remains of the noise is far below any border's reach.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import quadrant_data, quadrant_net
from workloads.compress import CompressionConfig, LayerChoice, apply, calibrate
from workloads.compress.config import QUANTIZERS
from workloads.training import Scorer, Trained, TrainSettings, finetune, finetune_many
from workloads.training.together.probe import USUAL, fitting_size
from workloads.training.together.step import Task
from workloads.training.together.train import Loop

SETTINGS = TrainSettings(epochs=2, lr=0.05, batch_size=16, warmup_epochs=0.5, shift=1)
TOLERANCE = 1e-8
LAYERS = ("stem", "deep", "wide", "fc")


class Net(nn.Module):
    """Convolution, depthwise convolution with bias, residual, a norm after each, linear; on (N, 1, 6, 6)."""

    def __init__(self, norm: str = "batch") -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.first = _norm(norm, 8)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.second = _norm(norm, 8)
        self.wide = nn.Conv2d(8, 8, 3, padding=1, bias=True)
        self.third = _norm(norm, 8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(self.stem(x)))
        x = torch.relu(x + self.second(self.deep(x)))
        x = torch.relu(x + self.third(self.wide(x)))
        return self.fc(x.mean((2, 3)))


def _norm(kind: str, channels: int) -> nn.Module:
    made: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm2d(channels),
        "group": lambda: nn.GroupNorm(4, channels),
        "layer": lambda: nn.LayerNorm([channels, 6, 6]),
    }
    return made[kind]()


def net(norm: str = "batch", seed: int = 0) -> Net:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return Net(norm).double()


def data(count: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 6, 6, dtype=torch.float64, generator=generator)
    return x, torch.randint(0, 4, (count,), generator=generator)


def candidates(configs: Sequence[CompressionConfig], model: nn.Module) -> list[nn.Module]:
    made = [apply(model, config) for config in configs]
    for each in made:
        calibrate(each, data()[0])
    return made


def config(names: Sequence[str] = LAYERS, **choice: Any) -> CompressionConfig:
    return CompressionConfig(dict.fromkeys(names, LayerChoice(**choice)))


def several(count: int = 3, lr: float = 0.05, **changes: Any) -> list[TrainSettings]:
    """Settings of candidates, each with its own seed and rate."""
    return [replace(SETTINGS, seed=index, lr=lr * (1 + index), **changes) for index in range(count)]


def assert_same(
    models: Sequence[nn.Module], settings: Sequence[TrainSettings], split: Any = None, **options: Any
) -> list[Trained]:
    """What `finetune_many` makes of the models is what `finetune` makes of each."""
    split = data() if split is None else split
    alone = copy.deepcopy(list(models))
    results = [
        finetune(model, split, own, device="cpu", **options) for model, own in zip(alone, settings, strict=True)
    ]
    before = [copy.deepcopy(model.state_dict()) for model in models]
    trained = finetune_many(models, split, settings, device="cpu", batch=len(models), **options)
    for mine, theirs, start, how, result in zip(models, alone, before, trained, results, strict=True):
        assert not mine.training
        moved = 0.0
        for name, value in theirs.state_dict().items():
            own = mine.state_dict()[name]
            assert torch.allclose(own.double(), value.double(), atol=TOLERANCE, rtol=TOLERANCE), name
            moved += float((value.double() - start[name].double()).abs().sum())
        assert moved > 1e-3, "training moves something"
        assert how.result is not None
        for own_step, step in zip(how.result.steps, result.steps, strict=True):
            assert (own_step.epoch, own_step.step, own_step.lr) == (step.epoch, step.step, step.lr)
            assert math.isclose(own_step.loss, step.loss, rel_tol=1e-8)
        assert [r.train_accuracy for r in how.result.history] == [r.train_accuracy for r in result.history]
    return trained


def assert_together(trained: Sequence[Trained]) -> None:
    assert [how.together for how in trained] == [len(trained)] * len(trained)
    assert not any(how.alone_because for how in trained)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_quantizer_at_widths_of_its_own(quantizer: str, granularity: str) -> None:
    """The images stay float: sums of few values fall on the border of a ReLU, on which side noise decides."""
    widths, fixed = [(2, 3), (1, 4), (8, 1)], {"quantizer": quantizer, "granularity": granularity}
    configs = [
        CompressionConfig(
            {name: LayerChoice(w_bits=w, a_bits=None if name == "stem" else a, **fixed) for name in LAYERS}
        )
        for w, a in widths
    ]
    assert_together(assert_same(candidates(configs, net()), several()))


@pytest.mark.parametrize("observer", ["percentile", "mse", "moving_average"])
@pytest.mark.parametrize("quantizer", ["affine", "symmetric"])
def test_ranges_that_do_not_follow_the_weight(quantizer: str, observer: str) -> None:
    configs = [config(w_bits=w, a_bits=4, quantizer=quantizer, observer=observer) for w in (2, 3)]
    assert_together(assert_same(candidates(configs, net()), several(2)))


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_roundings(rounding: str) -> None:
    configs = [config(w_bits=w, a_bits=4, rounding=rounding) for w in (2, 3)]
    assert_together(assert_same(candidates(configs, net()), several(2)))


@pytest.mark.parametrize(
    "choices",
    [
        [{"density": 0.5}, {"density": 0.25}, {}],
        [{"density": 0.5, "pattern": "filter"}, {"density": 0.25, "pattern": "filter"}, {}],
        [{"pattern": "2:4"}, {"pattern": "1:4"}, {"density": 0.5}],
    ],
    ids=["unstructured", "filter", "N:M"],
)
def test_every_pattern_of_pruning(choices: list[dict[str, Any]]) -> None:
    names = ("wide", "fc")
    made = candidates([config(names, w_bits=4, a_bits=4, **choice) for choice in choices], net())
    masks = [model.get_submodule("wide").mask for model in made]
    assert_together(assert_same(made, several()))
    for model, mask in zip(made, masks, strict=True):
        now = model.get_submodule("wide").mask
        assert (now is None) == (mask is None)
        assert mask is None or torch.equal(now, mask)


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_every_norm(norm: str) -> None:
    configs = [config(w_bits=w, a_bits=4, density=d) for w, d in ((2, 1.0), (4, 0.5), (8, 0.25))]
    assert_together(assert_same(candidates(configs, net(norm)), several()))


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_layers_that_some_leave_float_and_others_do_not(quantizer: str) -> None:
    made = candidates(
        [
            config(("stem", "fc"), w_bits=2, a_bits=4, quantizer=quantizer),
            config(("deep", "fc"), w_bits=1, a_bits=None, quantizer=quantizer),
            config(("wide",), w_bits=None, a_bits=3, quantizer=quantizer),
            CompressionConfig({}),
        ],
        net(),
    )
    assert_together(assert_same(made, several(4)))


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam", "lr": 0.003},
        {"momentum": 0.0},
        {"clip_norm": 0.3},
        {"ema_decay": 0.9},
        {"label_smoothing": 0.1, "schedule": "constant"},
        {"data_seed": 7},
        {"crop": 1, "flip": True, "cutout": 2},
    ],
    ids="-".join,
)
def test_every_setting(changes: dict[str, Any]) -> None:
    configs = [config(w_bits=w, a_bits=4, density=d) for w, d in ((2, 1.0), (4, 0.5), (8, 0.25))]
    assert_together(assert_same(candidates(configs, net()), several(**changes)))


def test_settings_of_each_candidate() -> None:
    made = candidates([config(w_bits=w, a_bits=4) for w in (2, 3, 4)], net())
    own = [
        replace(SETTINGS, lr=0.02, weight_decay=0.1, clip_norm=0.1, schedule="constant"),
        replace(SETTINGS, lr=0.1, weight_decay=0.0, seed=3, warmup_epochs=0),
        replace(SETTINGS, schedule="multistep", milestones=(1,), gamma=0.2, seed=3),
    ]
    assert_together(assert_same(made, own))


def test_a_teacher_a_loss_and_numbers_as_targets() -> None:
    made = candidates([config(w_bits=w, a_bits=4) for w in (2, 3)], net())
    taught = several(2, distill_weight=0.7)
    assert_together(assert_same(made, taught, teacher=net(seed=3).eval()))
    x, y = data()
    values = torch.nn.functional.one_hot(y, 4).double()
    made = candidates([config(w_bits=w, a_bits=4) for w in (2, 3)], net())
    assert_together(assert_same(made, several(2), (x, values)))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.multi_margin_loss(outputs, targets)

    made = candidates([config(w_bits=w, a_bits=4) for w in (2, 3)], net())
    assert_together(assert_same(made, several(2), loss=loss))


def test_frozen_and_unused_parameters_stay() -> None:
    class Odd(Net):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Linear(3, 3)

    model = Odd().double()
    model.stem.weight.requires_grad_(False)
    made = candidates([config(("deep", "fc"), w_bits=w, a_bits=4) for w in (2, 3)], model)
    assert_together(assert_same(made, several(2, weight_decay=0.1)))
    assert torch.equal(made[0].get_parameter("spare.weight"), model.spare.weight)


def test_a_candidate_whose_numbers_break_breaks_alone() -> None:
    configs = [config(w_bits=w, a_bits=4) for w in (2, 3, 4)]
    made, split = candidates(configs, net()), data()
    settings = several()
    broken = [settings[0], replace(settings[1], lr=1e200), settings[2]]
    alone = copy.deepcopy([made[0], made[2]])
    for model, own in zip(alone, (settings[0], settings[2]), strict=True):
        finetune(model, split, own, device="cpu")
    trained = finetune_many(made, split, broken, device="cpu", batch=3)
    assert [how.together for how in trained] == [3, 1, 3]
    assert trained[1].result is None
    assert isinstance(trained[1].error, ConfigError)
    assert "epoch" in str(trained[1].error)
    assert "broke among 3" in trained[1].alone_because
    for mine, theirs in zip((made[0], made[2]), alone, strict=True):
        for name, value in theirs.state_dict().items():
            assert torch.allclose(mine.state_dict()[name].double(), value.double(), atol=TOLERANCE), name


def test_one_candidate_is_the_ordinary_run() -> None:
    (made,) = candidates([config(w_bits=2, a_bits=4)], net())
    alone = copy.deepcopy(made)
    finetune(alone, data(), SETTINGS, device="cpu")
    (how,) = finetune_many([made], data(), SETTINGS, device="cpu")
    assert how.together == 1
    assert how.alone_because
    assert all(
        torch.equal(a, b) for a, b in zip(made.state_dict().values(), alone.state_dict().values(), strict=True)
    )


class Branching(Net):
    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return -out if float(out.detach().mean()) > 0 else out


class Forgetful(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.5, self.training))


class Dropping(Net):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.drop(x))


class Ruleless(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + nn.functional.kl_div(x, x.detach().exp(), reduction="batchmean")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Ruleless, "batching rule for aten::kl_div"),
        (Branching, "many at once"),
        (Forgetful, "many at once"),
        (Dropping, "'drop' drops values"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_one_trains_alone_and_says_so(kind: type[Net], why: str) -> None:
    torch.manual_seed(0)
    made = candidates([config(w_bits=w, a_bits=4) for w in (2, 3)], kind().double())
    trained = assert_same(made, several(2))
    assert [how.together for how in trained] == [1, 1]
    assert all(why in how.alone_because for how in trained)


def test_draws_of_a_candidate_streams_and_bfloat16_train_alone() -> None:
    drawn = candidates([config(w_bits=2, a_bits=4, rounding="stochastic") for _ in range(2)], net())
    assert all("draws" in how.alone_because for how in assert_same(drawn, several(2)))
    made = [each.float() for each in candidates([config(w_bits=w, a_bits=4) for w in (2, 3)], net())]
    x, y = data()
    half = finetune_many(
        made, (x.float(), y), [replace(own, amp="bf16") for own in several(2)], device="cpu", batch=2
    )
    assert all("amp='bf16'" in how.alone_because for how in half)
    last = [replace(own, memory_format="channels_last") for own in several(2)]
    laid = finetune_many(made, (x.float(), y), last, device="cpu", batch=2)
    assert all("memory_format='channels_last'" in how.alone_because for how in laid)
    loader = DataLoader(TensorDataset(x.float(), y), batch_size=16)
    streamed = finetune_many(made, loader, several(2), device="cpu", batch=2)
    assert all("stream" in how.alone_because for how in streamed)


def test_hooks_and_other_structures_train_apart() -> None:
    made = candidates([config(w_bits=2, a_bits=4, quantizer=q) for q in ("lsq", "lsq", "pact", "pact")], net())
    trained = finetune_many(made, data(), several(4), device="cpu", batch=4)
    assert [how.together for how in trained] == [2, 2, 2, 2]
    odd = [*candidates([config(w_bits=2, a_bits=4)], net()), net("group"), net()]
    assert [how.together for how in finetune_many(odd, data(), several(), device="cpu", batch=4)] == [2, 1, 2]
    odd[0].register_forward_hook(lambda *_: None)
    assert "has hooks" in finetune_many(odd, data(), several(), device="cpu", batch=4)[0].alone_because


def test_other_attributes_are_another_structure() -> None:
    first, second, third = net(), net(), net()
    second.deep.padding_mode = "replicate"
    trained = finetune_many([first, second, third], data(), several(), device="cpu", batch=3)
    assert [how.together for how in trained] == [2, 1, 2]


def test_what_a_forward_pass_hides_is_seen_in_the_first_loss() -> None:
    """What no attribute tells: the forward pass looks up which model it is."""
    scales: dict[int, float] = {}

    class Scaled(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * scales.get(id(self.fc), 1.0)

    torch.manual_seed(0)
    first = Scaled().double()
    second = copy.deepcopy(first)
    scales[id(second.fc)] = 30.0
    trained = finetune_many([first, second], data(), several(2), device="cpu", batch=2)
    assert "its first loss would be" in trained[1].alone_because


def test_stacks_are_of_equal_size_and_as_many_as_asked() -> None:
    made = candidates([config(w_bits=2, a_bits=4)] * 5, net())
    trained = finetune_many(made, data(), several(5), device="cpu", batch=3)
    assert sorted(how.together for how in trained) == [2, 2, 3, 3, 3]
    assert [how.together for how in finetune_many(made, data(), several(5), device="cpu", batch=1)] == [1] * 5
    with pytest.raises(ConfigError, match="batch must be 'auto'"):
        finetune_many(made, data(), several(5), device="cpu", batch=0)
    with pytest.raises(ConfigError, match="one for each of 5 models, but are 4"):
        finetune_many(made, data(), several(4), device="cpu")


def test_the_size_is_measured_where_a_run_is_long_and_bounded_by_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made = candidates([config(w_bits=2, a_bits=4)] * 4, net())
    x, y = data()
    feed = Task(feed=_feed(x, y), settings=several(4))
    assert fitting_size(made, feed) == min(USUAL, 4), "a short run is not measured"
    long = Task(feed=_feed(x, y), settings=[replace(own, epochs=500) for own in several(4)])
    assert fitting_size(made, long) in (1, 2, 4)
    monkeypatch.setattr("workloads.training.together.probe.available_memory", lambda: 1.0)
    assert fitting_size(made, long) == 1


def test_a_stack_that_finds_no_memory_trains_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    made, run = candidates([config(w_bits=2, a_bits=4)] * 4, net()), Loop.run

    def full(loop: Loop, progress: Any = None) -> Any:
        if len(loop.stack.models) > 2:
            raise torch.OutOfMemoryError("no memory")
        return run(loop, progress)

    alone = copy.deepcopy(made)
    for model, own in zip(alone, several(4), strict=True):
        finetune(model, data(), own, device="cpu")
    monkeypatch.setattr(Loop, "run", full)
    trained = finetune_many(made, data(), several(4), device="cpu", batch=4)
    assert [how.together for how in trained] == [2, 2, 2, 2]
    for mine, theirs in zip(made, alone, strict=True):
        assert torch.allclose(mine.fc.weight, theirs.fc.weight, atol=TOLERANCE)


def _feed(x: Tensor, y: Tensor) -> Any:
    from workloads.training.inputs import feed_of

    return feed_of((x, y), torch.device("cpu"))


def test_a_scorer_scores_many_as_it_scores_each() -> None:
    splits = quadrant_data(96, 40)
    model = quadrant_net()
    scorer = Scorer(model, splits, TrainSettings(epochs=1, lr=0.01, batch_size=32), device="cpu", batch=4)
    bits = {2: 0.5, 4: 1.0, 8: 1.0}
    configs = [CompressionConfig.from_bits({"conv": w, "fc": w}, a_bits=8, density=d) for w, d in bits.items()]
    wrong = CompressionConfig({"convv": LayerChoice(w_bits=4)})
    found = scorer.qat_many([*configs, wrong], [1, 2, 3, 4], rates=[0.01, 0.02, 0.005, 0.01])
    assert isinstance(found[3], ConfigError)
    assert [how and how.together for how in scorer.trained] == [3, 3, 3, None]
    for config_, seed, rate, outcome in zip(configs, (1, 2, 3), (0.01, 0.02, 0.005), found, strict=False):
        assert not isinstance(outcome, ConfigError)
        score, trained = outcome
        single = Scorer(model, splits, replace(scorer.settings, lr=rate), device="cpu")
        expected, other = single.qat(config_, seed)
        assert abs(score.correct - expected.correct) <= 1
        assert torch.allclose(trained.fc.weight, other.fc.weight, atol=1e-3)
        assert scorer.validation(trained) == score
    with pytest.raises(ConfigError, match="must have a seed"):
        scorer.qat_many(configs, [1])


def test_seeds_share_batches_where_the_data_seed_is_one() -> None:
    """Without draws of their own, candidates of one data seed are one run, whatever their seeds."""
    made = candidates([config(w_bits=2, a_bits=4)] * 2, net())
    shared = [replace(SETTINGS, seed=seed, data_seed=5) for seed in (1, 2)]
    finetune_many(made, data(), shared, device="cpu", batch=2)
    assert torch.allclose(made[0].fc.weight, made[1].fc.weight, atol=TOLERANCE)
    apart = candidates([config(w_bits=2, a_bits=4)] * 2, net())
    finetune_many(apart, data(), [replace(SETTINGS, seed=seed) for seed in (1, 2)], device="cpu", batch=2)
    assert not torch.allclose(apart[0].fc.weight, apart[1].fc.weight, atol=1e-4)
    with pytest.raises(ConfigError, match="data_seed must be an integer"):
        TrainSettings(data_seed=-1)
    assert "data_seed" not in TrainSettings().to_dict()
