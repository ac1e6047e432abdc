from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import Data, Split, quadrant_data, quadrant_net
from workloads.compress import CompressionConfig, apply, calibrate, save_weights
from workloads.training import (
    Accuracy,
    EpochRecord,
    TrainSettings,
    finetune,
    measure_accuracy,
    pretrain,
    select_device,
)
from workloads.training.run import DivergedError, make_optimizer
from workloads.training.step.augment import shifted

SETTINGS = TrainSettings(epochs=4, lr=0.1, batch_size=32)


@pytest.fixture(scope="module")
def data() -> Data:
    return quadrant_data()


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.float().flatten() for value in model.state_dict().values()])


def test_training_learns_and_records_its_history(data: Data) -> None:
    model, seen = quadrant_net(), []
    before = measure_accuracy(model, data.validation)
    result = finetune(model, data.train, SETTINGS, validation=data.validation, device="cpu", progress=seen.append)
    after = measure_accuracy(model, data.validation)
    assert after.value > 0.95 > before.value
    assert list(result.history) == seen
    assert [r.epoch for r in result.history] == [1, 2, 3, 4]
    assert result.history[-1].validation == after, "the last epoch is kept"
    assert result.history[-1].loss < result.history[0].loss
    assert result.history[0].train_accuracy.total == 256
    assert result.device == "cpu"
    frame = result.to_dataframe()
    assert list(frame.columns) == ["epoch", "lr", "loss", "train_accuracy", "validation_accuracy", "wall_s"]
    assert frame.validation_accuracy.iloc[-1] == after.value


@pytest.mark.parametrize("changes", [{}, {"shift": 1, "label_smoothing": 0.1}, {"optimizer": "adam", "lr": 0.01}])
def test_one_seed_gives_one_result_to_the_last_bit(data: Data, changes: dict[str, object]) -> None:
    settings = replace(SETTINGS, epochs=2, **changes)  # type: ignore[arg-type]
    config = CompressionConfig.from_bits({"conv": 3, "fc": 3}, a_bits=4)

    def run(seed: int, noise: int) -> torch.Tensor:
        torch.manual_seed(noise)
        model = apply(nn.Sequential(quadrant_net(), nn.Dropout(0.1)), CompressionConfig(
            {f"0.{name}": choice for name, choice in config.layers.items()}
        ))  # fmt: skip
        calibrate(model, data.train.x[:64])
        finetune(model, data.train, replace(settings, seed=seed), device="cpu")
        return flat(model)

    assert torch.equal(run(0, noise=1), run(0, noise=2))
    assert not torch.equal(run(0, noise=1), run(1, noise=1))


def test_global_state_is_left_alone(data: Data) -> None:
    torch.manual_seed(5)
    random.seed(5)
    before, threads = (torch.get_rng_state(), random.getstate()), torch.get_num_threads()
    model = quadrant_net()
    finetune(model, data.train, replace(SETTINGS, epochs=1, shift=1), device="cpu")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert torch.get_num_threads() == threads
    assert not model.training


def test_zero_epochs_change_nothing(data: Data) -> None:
    model = quadrant_net()
    before = flat(model)
    assert finetune(model, data.train, replace(SETTINGS, epochs=0), device="cpu").history == ()
    assert torch.equal(flat(model), before)


def test_small_splits_train_in_one_batch(data: Data) -> None:
    few = Split(data.train.x[:5], data.train.y[:5])
    history = finetune(quadrant_net(), few, replace(SETTINGS, epochs=1), device="cpu").history
    assert history[0].train_accuracy.total == 5
    rest = finetune(quadrant_net(), data.train, replace(SETTINGS, epochs=1, batch_size=100), device="cpu").history
    assert rest[0].train_accuracy.total == 200, "the incomplete last batch is left out"


def test_weight_decay_spares_steps_norms_and_biases(data: Data) -> None:
    """With no gradient signal but decay, only tensors of two or more dims shrink."""
    model = apply(quadrant_net(), CompressionConfig.from_bits({"conv": 4, "fc": 4}, a_bits=4))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer(model, replace(SETTINGS, weight_decay=0.1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    shrunk = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert shrunk == {"conv.weight", "fc.weight"}


def test_distillation_follows_the_teacher(data: Data) -> None:
    teacher = quadrant_net()
    finetune(teacher, data.train, SETTINGS, device="cpu")
    before = flat(teacher)
    wrong = Split(data.train.x, (data.train.y + 1) % 4)
    student = quadrant_net(seed=1)
    finetune(student, wrong, replace(SETTINGS, distill_weight=1.0), teacher=teacher, device="cpu")
    assert measure_accuracy(student, data.validation).value > 0.9, "labels are wrong, the teacher is right"
    assert torch.equal(flat(teacher), before)
    with pytest.raises(ConfigError, match=r"distill_weight=1 needs a teacher\. Pass one"):
        finetune(student, wrong, replace(SETTINGS, distill_weight=1.0), device="cpu")


class Breaks(nn.Module):
    """Its second layer divides by zero once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Flatten()
        self.middle = nn.Linear(64, 4)
        self.last = nn.Identity()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        x = self.middle(self.first(x))
        return self.last(x / 0 if self.calls > 10 else x)


def test_a_loss_that_is_not_finite_names_epoch_step_and_module(data: Data) -> None:
    with pytest.raises(
        DivergedError, match=r"in epoch 2, step 3 of 8: the output of 'last' is not finite\. Lower lr"
    ):
        finetune(Breaks(), data.train, replace(SETTINGS, lr=1e-3), device="cpu")
    model = quadrant_net()
    with torch.no_grad():
        model.fc.weight[0, 0] = math.nan
    with pytest.raises(ConfigError, match=r"epoch 1, step 1 of 8: parameter 'fc\.weight' is not finite"):
        finetune(model, data.train, SETTINGS, device="cpu")
    bad = Split(data.train.x / 0, data.train.y)
    with pytest.raises(ConfigError, match="the images are not finite"):
        finetune(quadrant_net(), bad, SETTINGS, device="cpu")


# ---- pieces --------------------------------------------------------------------------------------


def test_rate_warms_up_and_falls_to_zero() -> None:
    settings = TrainSettings(epochs=10, lr=0.2, warmup_epochs=2)
    assert settings.rate(0) == 0
    assert settings.rate(1) == pytest.approx(0.1)
    assert settings.rate(2) == 0.2
    assert settings.rate(6) == pytest.approx(0.1), "half way along the cosine"
    assert settings.rate(10) == pytest.approx(0, abs=1e-12)
    assert replace(settings, schedule="constant").rate(9) == 0.2
    assert TrainSettings(epochs=1, warmup_epochs=0).rate(0) == TrainSettings().lr


def test_shifts_move_whole_images_by_whole_pixels() -> None:
    x = torch.arange(1.0, 1 + 6 * 2 * 5 * 4).reshape(6, 2, 5, 4)
    out = shifted(x, 2, torch.Generator().manual_seed(0))
    assert shifted(x, 0, torch.Generator()) is x
    padded = nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    found = []
    for before, after in zip(padded, out, strict=True):
        found.append({
            (dy, dx) for dy in range(5) for dx in range(5)
            if torch.equal(before[:, dy : dy + 5, dx : dx + 4], after)
        })  # fmt: skip
    assert all(len(moves) == 1 for moves in found), "one move for all channels of an image"
    assert len(set.union(*found)) > 1, "each image has its own move"


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_those_of_wilson(correct: int, total: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I, method 3 (score, no continuity correction)."""
    interval = Accuracy(correct=correct, total=total).interval
    assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    other = Accuracy(correct=total - correct, total=total).interval  # misses instead of hits
    assert (other.low, other.high) == pytest.approx((1 - interval.high, 1 - interval.low))


def test_an_accuracy_without_an_error_has_an_interval() -> None:
    everything = Accuracy(correct=56, total=56)
    assert everything.interval.high == 1
    assert everything.interval.low == pytest.approx(56 / (56 + 1.959964**2))  # p = 1: 1 / (1 + z² / n)
    assert str(everything) == "100.00 % (95 %: 93.6 to 100.0; 56/56)"
    assert everything.interval.overlaps(Accuracy(correct=54, total=56).interval)  # a tie
    assert not everything.interval.overlaps(Accuracy(correct=40, total=56).interval)


def test_accuracy_is_a_count() -> None:
    assert Accuracy(correct=90, total=100).value == 0.9
    for correct, total in ((5, 4), (-1, 4), (0, 0)):
        with pytest.raises(ConfigError, match="must hold"):
            Accuracy(correct=correct, total=total)


def test_a_mean_accuracy_stays_a_count_of_the_same_images() -> None:
    mean = Accuracy.mean([Accuracy(correct=90, total=100), Accuracy(correct=93, total=100)] * 2)
    assert mean in (Accuracy(correct=91, total=100), Accuracy(correct=92, total=100))  # of 91.5
    assert Accuracy.mean(Accuracy(correct=n, total=10) for n in (3, 4, 8)) == Accuracy(correct=5, total=10)
    for wrong in ([], [Accuracy(correct=1, total=2), Accuracy(correct=1, total=3)]):
        with pytest.raises(ConfigError, match="one number of images"):
            Accuracy.mean(wrong)


def test_measuring_counts_hits_and_keeps_modes(data: Data) -> None:
    model = quadrant_net().train()
    model.fc.eval()
    accuracy = measure_accuracy(model, data.validation)
    assert (model.training, model.conv.training, model.fc.training) == (True, True, False)
    model.eval()
    with torch.no_grad():
        hits = int((model(data.validation.x).argmax(1) == data.validation.y).sum())
    assert accuracy == Accuracy(correct=hits, total=100)
    arrays = Split(data.validation.x.numpy(), data.validation.y.numpy())  # type: ignore[arg-type]
    assert measure_accuracy(model, arrays) == accuracy


def test_splits_must_be_consistent(data: Data) -> None:
    with pytest.raises(ConfigError, match="one label per image"):
        measure_accuracy(quadrant_net(), Split(data.test.x, data.test.y[:-1]))
    with pytest.raises(ConfigError, match="at least one image"):
        measure_accuracy(quadrant_net(), Split(data.test.x[:0], data.test.y[:0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": -1}, r"0 <= epochs.*epochs=-1"),
        ({"epochs": 1.5}, r"epochs must be an integer, but got 1\.5"),
        ({"lr": 0}, r"lr > 0"),
        ({"lr": math.nan}, r"lr > 0"),
        ({"momentum": 2}, r"momentum <= 1"),
        ({"batch_size": True}, r"batch_size must be an integer"),
        ({"optimizer": "sdg"}, r"optimizer must be one of sgd, adam, but got 'sdg'\. Did you mean 'sgd'"),
        ({"schedule": "step"}, r"schedule must be one of cosine, constant"),
        ({"distill_weight": 1.1}, r"distill_weight <= 1"),
        ({"epoch": 3}, r"unknown training setting 'epoch'\. Did you mean 'epochs'"),
    ],
)
def test_bad_settings_are_answered(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSettings.from_dict(changes)


def test_settings_round_trip() -> None:
    settings = TrainSettings.from_scratch(epochs=7, seed=3)
    assert TrainSettings.from_dict(settings.to_dict()) == settings
    assert settings.key != replace(settings, seed=4).key


def test_devices() -> None:
    assert select_device("cpu") == torch.device("cpu")
    assert select_device().type in ("cpu", "cuda")
    for name in ("gpu", "cuda:x", "meta"):
        with pytest.raises(ConfigError, match="device must be 'cpu', 'cuda' or 'cuda:N'"):
            select_device(name)
    with pytest.raises(ConfigError, match=r"device 'cuda:99' is absent: this machine has \d+ CUDA devices"):
        select_device("cuda:99")


# ---- pretrain ------------------------------------------------------------------------------------


def test_the_same_training_is_done_once(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "float.safetensors"
    first, second = quadrant_net(), quadrant_net()
    trained = pretrain(first, data, SETTINGS, path, device="cpu")
    seen: list[EpochRecord] = []
    loaded = pretrain(second, data, SETTINGS, path, device="cpu", progress=seen.append)
    assert (trained.reused, loaded.reused, seen) == (False, True, [])
    assert trained.accuracy == loaded.accuracy == measure_accuracy(second, data.validation)
    assert torch.equal(flat(first), flat(second))


def test_a_model_that_was_trained_so_is_not_trained_on(data: Data, tmp_path: Path) -> None:
    path, model = tmp_path / "float.safetensors", quadrant_net()
    pretrain(model, data, SETTINGS, path, device="cpu")
    before, file = flat(model), path.read_bytes()
    assert pretrain(model, data, SETTINGS, path, device="cpu").reused
    assert torch.equal(flat(model), before)
    assert path.read_bytes() == file


@pytest.mark.parametrize("what", ["settings", "weights", "data", "labels"])
def test_another_training_is_done_anew(data: Data, tmp_path: Path, what: str) -> None:
    path, short = tmp_path / "float.safetensors", replace(SETTINGS, epochs=1)
    pretrain(quadrant_net(), data, short, path, device="cpu")
    if what == "labels":
        data = replace(data, train=replace(data.train, y=(data.train.y + 1) % 4))
    other = pretrain(
        quadrant_net(seed=int(what == "weights")),
        quadrant_data(noise=0.5) if what == "data" else data,
        replace(short, lr=0.05) if what == "settings" else short,
        path,
        device="cpu",
    )
    assert not other.reused


def test_a_foreign_checkpoint_is_not_overwritten(data: Data, tmp_path: Path) -> None:
    path = save_weights(tmp_path / "mine.safetensors", quadrant_net())
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"exists but was not written by pretrain\. Choose another name"):
        pretrain(quadrant_net(), data, SETTINGS, path, device="cpu")
    assert path.read_bytes() == before
