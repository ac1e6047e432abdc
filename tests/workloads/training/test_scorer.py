from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import Data, QuadrantNet, quadrant_data, quadrant_net
from workloads.compress import CompressionConfig, LayerChoice, apply, load_weights, save_weights
from workloads.training import Scorer, TrainSettings, finetune, measure_accuracy

QAT = TrainSettings(epochs=3, lr=0.05, batch_size=32)


@pytest.fixture(scope="module")
def data() -> Data:
    return quadrant_data()


@pytest.fixture(scope="module")
def model(data: Data) -> QuadrantNet:
    model = quadrant_net()
    finetune(model, data.train, TrainSettings(epochs=6, lr=0.1, batch_size=32), device="cpu")
    return model


def config(w_bits: int | None, a_bits: int | None, density: float = 1.0) -> CompressionConfig:
    return CompressionConfig.from_bits({"conv": w_bits, "fc": w_bits}, a_bits=a_bits, density=density)


def test_scores_fall_with_the_bits_and_training_wins_them_back(model: QuadrantNet, data: Data) -> None:
    scorer = Scorer(model, data, QAT, device="cpu")
    full = scorer.float_accuracy()
    assert full == measure_accuracy(model, data.validation)
    assert abs(scorer.ptq(config(8, 8)).accuracy.correct - full.correct) <= 1
    coarse = scorer.ptq(config(1, 1, density=0.25)).accuracy
    trained, _ = scorer.qat(config(1, 1, density=0.25), seed=0)
    assert coarse.interval.high < full.interval.low
    assert trained.correct > coarse.correct


def test_a_score_repeats_and_leaves_the_float_model_alone(model: QuadrantNet, data: Data) -> None:
    before = [value.clone() for value in model.state_dict().values()]
    scorer = Scorer(model, data, QAT, device="cpu")
    first = (scorer.ptq(config(2, 4)).accuracy, scorer.qat(config(2, 4), seed=1))
    torch.manual_seed(99)
    scorer.qat(config(3, 4), seed=2)
    again = (scorer.ptq(config(2, 4)).accuracy, scorer.qat(config(2, 4), seed=1))
    assert first[0] == again[0]
    assert first[1][0] == again[1][0]
    for a, b in zip(first[1][1].state_dict().values(), again[1][1].state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))


def test_the_scorer_holds_a_copy(model: QuadrantNet, data: Data) -> None:
    original = copy.deepcopy(model).train()
    scorer = Scorer(original, data, QAT, device="cpu")
    assert original.training
    with torch.no_grad():
        original.fc.weight.zero_()
    assert scorer.float_accuracy() == measure_accuracy(model, data.validation)


def test_seeds_give_different_trainings(model: QuadrantNet, data: Data) -> None:
    scorer = Scorer(model, data, replace(QAT, epochs=1), device="cpu")
    first, second = (scorer.qat(config(2, 4), seed=seed)[1] for seed in (0, 1))
    assert not torch.equal(first.fc.weight, second.fc.weight)


def test_norms_follow_the_compressed_weights(model: QuadrantNet, data: Data) -> None:
    """The running mean behind a coarse convolution is that of its own outputs, not of the float ones."""
    compressed = Scorer(model, data, QAT, device="cpu", calibration_images=256).compressed(config(1, 8))
    with torch.no_grad():
        outputs = compressed.conv(data.train.x)
    assert torch.allclose(compressed.bn.running_mean, outputs.mean((0, 2, 3)), atol=1e-5)
    assert not torch.allclose(compressed.bn.running_mean, model.bn.running_mean, atol=1e-2)


def test_a_checkpoint_scores_as_recorded(model: QuadrantNet, data: Data, tmp_path: Path) -> None:
    scorer = Scorer(model, data, QAT, device="cpu")
    accuracy, trained = scorer.qat(config(2, 3, density=0.5), seed=0)
    path = save_weights(tmp_path / "best.safetensors", trained)
    rebuilt = apply(quadrant_net(seed=8), config(2, 3, density=0.5))
    load_weights(path, rebuilt)
    assert scorer.validation(rebuilt) == accuracy
    assert scorer.test(rebuilt) == scorer.test(trained) == measure_accuracy(trained, data.test)


def test_distilled_candidates_learn_from_the_float_model(model: QuadrantNet, data: Data) -> None:
    plain, taught = (
        Scorer(model, data, replace(QAT, distill_weight=weight), device="cpu").qat(config(2, 4), seed=0)[1]
        for weight in (0.0, 0.9)
    )
    assert not torch.equal(plain.fc.weight, taught.fc.weight)


def test_the_search_never_sees_the_test_split(model: QuadrantNet, data: Data) -> None:
    class Sealed:
        @property
        def x(self) -> torch.Tensor:
            raise AssertionError("the test split was read")

        y = x

    sealed = Data(data.name, data.train, data.validation, Sealed())  # type: ignore[arg-type]
    scorer = Scorer(model, sealed, replace(QAT, epochs=1), device="cpu")
    scorer.float_accuracy()
    scorer.ptq(config(4, 4))
    scorer.qat(config(4, 4), seed=0)
    with pytest.raises(AssertionError, match="was read"):
        scorer.test(model)


def test_a_configuration_of_another_model_is_refused(model: nn.Module, data: Data) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'conv'"):
        Scorer(model, data, QAT, device="cpu").ptq(CompressionConfig({"convv": LayerChoice(w_bits=4)}))
