from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress_models import Data, QuadrantNet, quadrant_data, quadrant_net
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
    assert abs(scorer.ptq(config(8, 8)).correct - full.correct) <= 1
    coarse = scorer.ptq(config(1, 1, density=0.25))
    trained, _ = scorer.qat(config(1, 1, density=0.25), seed=0)
    assert coarse.value < full.value - 3 * full.standard_error
    assert trained.correct > coarse.correct


def test_a_score_repeats_and_leaves_the_float_model_alone(model: QuadrantNet, data: Data) -> None:
    before = [value.clone() for value in model.state_dict().values()]
    scorer = Scorer(model, data, QAT, device="cpu")
    first = (scorer.ptq(config(2, 4)), scorer.qat(config(2, 4), seed=1))
    torch.manual_seed(99)
    scorer.qat(config(3, 4), seed=2)
    again = (scorer.ptq(config(2, 4)), scorer.qat(config(2, 4), seed=1))
    assert first[0] == again[0]
    assert first[1][0] == again[1][0]
    for a, b in zip(first[1][1].state_dict().values(), again[1][1].state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    model.fc.weight.data.add_(0)  # the scorer holds a copy: what happens to the original does not matter
    assert scorer.float_accuracy() == measure_accuracy(model, data.validation)


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
