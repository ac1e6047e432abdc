"""Finetunings of less than all epochs: shorter ones, weights of others to start from, runs that are watched."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import quadrant_data, quadrant_net
from workloads.compress import CompressionConfig
from workloads.storage.weights import CarriedState
from workloads.training import Scorer, TrainSettings, finetune

QAT = TrainSettings(epochs=4, lr=0.05, batch_size=32, warmup_epochs=1.0)
CONFIG = CompressionConfig.from_bits({"conv": 3, "fc": 3}, a_bits=4)
OTHER = CompressionConfig.from_bits({"conv": 4, "fc": 4}, a_bits=8, density=0.5)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    model, data = quadrant_net(), quadrant_data()
    finetune(model, data.train, TrainSettings(epochs=2, lr=0.1, batch_size=32), device="cpu")
    return Scorer(model, data, QAT, "cpu")


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(one, two) for one, two in pairs)


def test_a_schedule_shrinks_as_a_whole() -> None:
    steps = TrainSettings(epochs=20, warmup_epochs=2.0, schedule="multistep", milestones=(10, 15))
    short = steps.shortened(0.25)
    assert (short.epochs, short.warmup_epochs, short.milestones) == (5, 0.5, (2.5, 3.75))
    for progress in (0.25, 1.0, 2.6, 4.0):
        assert short.rate(progress) == pytest.approx(steps.rate(4 * progress))
    assert TrainSettings(epochs=3).shortened(0.1).epochs == 1
    assert TrainSettings(epochs=0).shortened(0.5).epochs == 0
    assert steps.shortened(1.0) == steps
    with pytest.raises(ConfigError, match="share=0"):
        steps.shortened(0)


def test_a_short_run_is_a_run_of_the_short_schedule(scorer: Scorer) -> None:
    score, model = scorer.qat_short(CONFIG, 5, 0.5)
    own = Scorer(scorer._model, scorer.data, QAT.shortened(0.5), "cpu")
    expected, other = own.qat(CONFIG, 5)
    assert score == expected
    assert same(model, other)


def test_a_warm_run_starts_from_the_weights_of_another_configuration(scorer: Scorer) -> None:
    _, trained = scorer.qat(OTHER, 1)
    start = CarriedState.of(trained)
    still = Scorer(scorer._model, scorer.data, TrainSettings(epochs=0), "cpu")
    _, begun = still.qat_short(OTHER, 0, 0.5, start)
    weights = {name: value for name, value in trained.state_dict().items() if name in scorer._model.state_dict()}
    assert weights
    for name, value in begun.state_dict().items():
        if name in weights and "running" not in name and "num_batches" not in name:
            assert torch.equal(value, weights[name]), name
    _, warm = scorer.qat_short(CONFIG, 5, 0.5, start)
    assert not same(warm, scorer.qat_short(CONFIG, 5, 0.5)[1])
    assert same(warm, scorer.qat_short(CONFIG, 5, 0.5, start)[1])
    with pytest.raises(ConfigError, match="start: must hold the weights of this model"):
        scorer.qat_short(CONFIG, 5, 0.5, CarriedState.of(torch.nn.Linear(2, 2)))


def test_a_run_that_is_looked_at_is_the_same_run(scorer: Scorer) -> None:
    looks: list[tuple[float, Any]] = []

    def stop(share: float, score: Any) -> bool:
        looks.append((share, score))
        return False

    score, model = scorer.qat_watched(CONFIG, 5, [0.25, 0.5, 0.99], stop)
    expected, other = scorer.qat(CONFIG, 5)
    assert score == expected
    assert same(model, other)
    assert [share for share, _ in looks] == [0.25, 0.5], "the last epoch is the end"


def test_a_run_that_is_ended_answers_with_what_it_had(scorer: Scorer) -> None:
    looks: list[Any] = []

    def stop(share: float, score: Any) -> bool:
        looks.append(score)
        return share == 0.5

    score, model = scorer.qat_watched(CONFIG, 5, [0.25, 0.5, 0.75], stop)
    assert len(looks) == 2
    assert score is looks[-1]
    assert score == scorer.validation(model)
