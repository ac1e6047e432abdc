"""Pairs and loaders in the place of splits; losses and metrics of one's own; logs by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import Data, quadrant_data, quadrant_net
from workloads.compress import CompressionConfig, apply, calibrate, quantized_layers
from workloads.training import (
    Accuracy,
    Checkpoints,
    MetricValue,
    Scorer,
    TrainSettings,
    finetune,
    measure,
    measure_accuracy,
    r2,
)

SETTINGS = TrainSettings(epochs=3, lr=0.1, batch_size=32)


@pytest.fixture(scope="module")
def data() -> Data:
    return quadrant_data()


def flat(model: nn.Module) -> Tensor:
    return torch.cat([value.float().flatten() for value in model.state_dict().values()])


def loader(split: object, batch_size: int = 32, *, own: bool = False) -> DataLoader[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5) if own else None
    pairs = TensorDataset(split.x, split.y)  # type: ignore[attr-defined]
    return DataLoader(pairs, batch_size=batch_size, shuffle=True, generator=generator)


def test_a_pair_is_a_split(data: Data) -> None:
    models = [quadrant_net() for _ in range(4)]
    x, y = data.train.x, data.train.y
    splits = (
        data.train,
        (x, y),
        [x.numpy(), y.numpy()],
        (x.numpy().astype(np.float32), y.numpy().astype(np.uint8)),
    )
    for model, split in zip(models, splits, strict=True):
        finetune(model, split, SETTINGS, validation=(data.validation.x, data.validation.y), device="cpu")
    assert all(torch.equal(flat(models[0]), flat(model)) for model in models[1:])
    assert measure_accuracy(models[0], (data.test.x, data.test.y)) == measure_accuracy(models[0], data.test)


def test_a_loader_streams_its_own_batches(data: Data) -> None:
    """The same steps by hand: SGD on the loader's batches in the loader's order."""
    batches = [(data.train.x[i : i + 50], data.train.y[i : i + 50]) for i in range(0, 256, 50)]
    settings = TrainSettings(
        epochs=2, lr=0.05, momentum=0.0, weight_decay=0.0, schedule="constant", warmup_epochs=0.0, batch_size=7
    )
    model, same = quadrant_net(), quadrant_net()
    result = finetune(model, batches, settings, device="cpu")
    optimizer = torch.optim.SGD(same.parameters(), lr=0.05)
    same.train()
    losses = []
    for _ in range(2):
        for x, y in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(same(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert torch.allclose(flat(model), flat(same), atol=1e-6)
    assert result.history[0].train_accuracy is not None
    assert result.history[0].train_accuracy.total == 256, "the last batch of 6 is the loader's, and stays"
    np.testing.assert_allclose([step.loss for step in result.steps], losses, rtol=1e-5)


def test_a_loader_learns_scores_and_repeats(data: Data) -> None:
    models = [quadrant_net() for _ in range(3)]
    for model, validation in zip(models, (None, data.validation, loader(data.validation, 13)), strict=True):
        finetune(model, loader(data.train), replace(SETTINGS, epochs=5), validation=validation, device="cpu")
    assert torch.equal(flat(models[0]), flat(models[1]))
    assert torch.equal(flat(models[0]), flat(models[2])), "a shuffling validation loader draws beside the run"
    assert measure_accuracy(models[0], data.validation).value > 0.9
    assert measure_accuracy(models[0], loader(data.validation, 13)) == measure_accuracy(models[0], data.validation)


def test_no_more_than_a_batch_is_held(data: Data) -> None:
    class Counting(Dataset[tuple[Tensor, Tensor]]):
        def __init__(self) -> None:
            self.read = 0

        def __len__(self) -> int:
            return 256

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            self.read += 1
            return data.train.x[index], data.train.y[index]

    items = Counting()
    seen: list[int] = []
    finetune(
        quadrant_net(),
        DataLoader(items, batch_size=64),
        replace(SETTINGS, epochs=1),
        device="cpu",
        steps=lambda done, total: seen.append(items.read),
    )
    assert seen == [64, 128, 192, 256], "a batch is read when its step comes, and once"


@pytest.mark.parametrize("own", [False, True])
def test_a_streamed_run_resumes_to_the_last_bit(data: Data, tmp_path: Path, own: bool) -> None:
    settings = replace(SETTINGS, epochs=4, schedule="constant")
    whole, parts = quadrant_net(), quadrant_net()
    full = finetune(whole, loader(data.train, own=own), settings, device="cpu")
    keep = Checkpoints(path=tmp_path / "run.safetensors", resume=True)
    finetune(parts, loader(data.train, own=own), replace(settings, epochs=2), device="cpu", checkpoints=keep)
    again = quadrant_net(seed=9)
    rest = finetune(again, loader(data.train, own=own), settings, device="cpu", checkpoints=keep)
    assert torch.equal(flat(whole), flat(again))
    assert rest.steps == full.steps
    with pytest.raises(ConfigError, match="its run has another training split"):
        finetune(again, loader(data.validation), settings, device="cpu", checkpoints=keep)


def test_what_is_no_split_is_named(data: Data) -> None:
    class Endless(IterableDataset[tuple[Tensor, Tensor]]):
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            yield data.train.x[0], data.train.y[0]

    batches = loader(data.train)
    for split, message in [
        (iter(batches), "gives its batches only once"),
        (batches.dataset, r"Wrap it: DataLoader\(dataset"),
        (DataLoader(Endless()), "must know its number of batches"),
        ({"x": 1}, r"a pair \(x, y\) of arrays, .* but got dict"),
        (data.train.x, "but got Tensor"),
        ([], "has none"),
        ([(data.train.x, data.train.y, 1)], r"must be a pair \(inputs, targets\), but the loader gave 3 values"),
        ([{"x": 1}], r"must be a pair \(inputs, targets\), but the loader gave dict"),
        ((data.train.x, data.train.y[:3]), "one label per image .* got 256 and 3"),
        ((data.train.x, data.train.y + 1), r"labels must be 0\.\.3, .* but reach 1\.\.4"),
        ((data.train.x, torch.stack([data.train.y] * 2, 1)), r"outputs are \(32, 4\) and targets \(32, 2\)"),
    ]:
        with pytest.raises(ConfigError, match=message):
            finetune(quadrant_net(), split, SETTINGS, device="cpu")  # type: ignore[arg-type]


# ---- losses and metrics ------------------------------------------------------------------------------


def line(count: int = 200, outputs: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 6, generator=generator)
    weight = torch.arange(1.0, 6 * outputs + 1).reshape(6, outputs) / 6
    return x, x @ weight + 0.1 * torch.randn(count, outputs, generator=generator)


def test_floating_targets_are_a_regression() -> None:
    """SGD on the mean squared error of a linear model ends at least squares; r2 is scikit-learn's."""
    from sklearn.metrics import r2_score

    x, y = line()
    model = nn.Linear(6, 1)
    settings = TrainSettings(epochs=60, lr=0.05, batch_size=50, weight_decay=0.0)
    result = finetune(model, (x, y.double()), settings, validation=(x, y), device="cpu")
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(200, 1)], 1), y).solution
    assert torch.allclose(model.weight.T, solution[:6], atol=5e-3)
    score = result.history[-1].validation
    assert isinstance(score, MetricValue)
    assert score.name == "r2" and score.total == 200
    assert score.value == pytest.approx(r2_score(y.numpy(), model(x).detach().numpy()), abs=1e-5)
    assert result.history[-1].train_accuracy is None
    assert list(result.to_dataframe().columns) == ["epoch", "lr", "loss", "validation_r2", "wall_s"]


def test_r2_of_the_mean_is_zero_and_shapes_must_agree() -> None:
    y = torch.tensor([[1.0, 10.0], [3.0, 20.0]])
    assert r2(y, y) == 1
    assert r2(y.mean(0).expand(2, 2), y) == 0
    assert r2(torch.tensor([[2.0, 10.0], [2.0, 20.0]]), y) == pytest.approx(1 - 2 / 52)
    with pytest.raises(ConfigError, match=r"must have one shape, but have \(2, 2\) and \(2,\)"):
        r2(y, y[:, 0])
    with pytest.raises(ConfigError, match=r"must have one shape, but have \(50, 1\) and \(50,\)"):
        finetune(
            nn.Linear(6, 1), (line()[0], line()[1][:, 0]), TrainSettings(epochs=1, batch_size=50), device="cpu"
        )


def test_a_loss_of_ones_own(data: Data) -> None:
    """A margin loss by hand equals the one that is passed; half of it with a teacher is half of each."""
    margin = nn.MultiMarginLoss()
    settings = TrainSettings(epochs=1, lr=0.05, batch_size=256, momentum=0.0, weight_decay=0.0, warmup_epochs=0.0)
    result = finetune(quadrant_net(), data.train, settings, loss=margin, device="cpu")
    first = quadrant_net().train()
    expected = margin(first(data.train.x), data.train.y).item()
    assert result.steps[0].loss == pytest.approx(expected, rel=1e-5)
    silent = replace(settings, distill_weight=0.5)  # a teacher who agrees adds nothing
    taught = finetune(quadrant_net(), data.train, silent, loss=margin, teacher=first.forward, device="cpu")
    assert taught.steps[0].loss == pytest.approx(expected / 2, rel=1e-5)
    with pytest.raises(ConfigError, match=r"label_smoothing=0\.1 belongs to the cross-entropy"):
        finetune(quadrant_net(), data.train, replace(settings, label_smoothing=0.1), loss=margin, device="cpu")
    with pytest.raises(ConfigError, match=r"must give a tensor without dims, but gave a tensor \(256,\)"):
        finetune(quadrant_net(), data.train, settings, loss=nn.MultiMarginLoss(reduction="none"), device="cpu")


def test_a_metric_of_ones_own_is_named() -> None:
    def largest_error(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().max()

    x, y = line(outputs=2)
    model = nn.Linear(6, 2)
    score = measure(model, [(x[:77], y[:77]), (x[77:], y[77:])], metric=largest_error)
    assert isinstance(score, MetricValue)
    assert (score.name, score.total) == ("largest_error", 200)
    assert score.value == pytest.approx((model(x) - y).abs().max().item(), rel=1e-5)
    with pytest.raises(ConfigError, match="accuracy needs classes, integers"):
        measure_accuracy(model, (x, y))
    with pytest.raises(ConfigError, match="metric <lambda> must give a finite number, but gave nan"):
        measure(model, (x, y), metric=lambda outputs, targets: float("nan"))


def test_steps_are_logged_with_their_moving_average(data: Data) -> None:
    settings = TrainSettings(
        epochs=2, lr=0.1, batch_size=64, schedule="multistep", milestones=(1,), warmup_epochs=0.0
    )
    result = finetune(quadrant_net(), data.train, settings, device="cpu")
    frame = result.steps_to_dataframe(decay=0.5)
    assert list(frame.columns) == ["epoch", "step", "lr", "loss", "average_loss"]
    assert frame.step.tolist() == list(range(1, 9))
    assert frame.epoch.tolist() == [1] * 4 + [2] * 4
    np.testing.assert_allclose(frame.lr, [0.1] * 4 + [0.01] * 4)
    for epoch in result.history:
        assert frame.loss[frame.epoch == epoch.epoch].mean() == pytest.approx(epoch.loss, rel=1e-6)
    a, b, c = frame.loss[:3]
    np.testing.assert_allclose(frame.average_loss[:3], [a, (a + 2 * b) / 3, (a + 2 * b + 4 * c) / 7])


# ---- calibration and the scorer ----------------------------------------------------------------------


@pytest.mark.parametrize("with_targets", [True, False])
def test_a_loader_calibrates_as_its_data_do(data: Data, with_targets: bool) -> None:
    config = CompressionConfig.from_bits({"conv": 4, "fc": 4}, a_bits=4, quantizer="affine")
    one, other = (apply(quadrant_net(), config) for _ in range(2))
    calibrate(one, data.train.x, batch_size=64)
    columns = (data.train.x, data.train.y) if with_targets else (data.train.x,)
    calibrate(other, DataLoader(TensorDataset(*columns), batch_size=64))
    assert torch.equal(flat(one), flat(other))
    assert all(bool(layer.input_quantizer.calibrated) for _, layer in quantized_layers(other))
    with pytest.raises(ConfigError, match="the loader gave none"):
        calibrate(other, iter([]))
    with pytest.raises(ConfigError, match="the loader gave 3 values"):
        calibrate(other, iter([(data.train.x, data.train.y, 1)]))


def test_the_scorer_streams(data: Data) -> None:
    streamed = Data("stream", *(loader(split) for split in (data.train, data.validation, data.test)))  # type: ignore[arg-type]
    model = quadrant_net()
    finetune(model, data.train, SETTINGS, device="cpu")
    scorer = Scorer(model, streamed, SETTINGS, device="cpu")
    assert scorer.float_accuracy() == measure_accuracy(model, data.validation)
    config = CompressionConfig.from_bits({"conv": 2, "fc": 2}, a_bits=8)
    first, again = scorer.qat(config, seed=1), scorer.qat(config, seed=1)
    assert isinstance(first[0], Accuracy)
    assert first[0].value >= scorer.ptq(config).accuracy.value
    assert torch.equal(flat(first[1]), flat(again[1]))


def test_the_scorer_of_a_regression_gives_shares() -> None:
    x, y = line(400, outputs=2)
    pairs = Data("line", (x[:300], y[:300]), (x[300:350], y[300:350]), (x[350:], y[350:]))  # type: ignore[arg-type]
    model = nn.Sequential(nn.Linear(6, 2))
    finetune(model, pairs.train, TrainSettings(epochs=40, lr=0.05, batch_size=50), device="cpu")
    scorer = Scorer(model, pairs, TrainSettings(epochs=1, lr=0.01), device="cpu")
    scores = [scorer.ptq(CompressionConfig.from_bits({"0": bits})).accuracy for bits in (8, 2)]
    assert 1 > scores[0].value > scores[1].value >= 0
    with torch.no_grad():
        model[0].bias += 100
    assert float(Scorer(model, pairs, TrainSettings(), device="cpu").float_accuracy()) == 0  # type: ignore[arg-type]
    error = Scorer(model, pairs, TrainSettings(), device="cpu", metric=lambda a, b: (a - b).abs().mean())
    with pytest.raises(ConfigError, match="must be a share of which 1 is perfect"):
        error.float_accuracy()
