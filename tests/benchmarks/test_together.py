"""The benchmark of candidates that train as one: what it compares, on one short epoch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks import together
from workloads.training import TrainSettings


def test_the_configurations_differ_in_every_layer() -> None:
    model = together.model_of("small")
    configs = together.configs_of(model, 8)
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 5
    assert all(list(config.layers) == layers for config in configs)
    assert len({config.key for config in configs}) == 8


def test_all_candidates_train_as_one_and_times_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([9.0, 9.0, 9.0, 1.0, 4.0, 6.0])
    monkeypatch.setattr(together, "seconds", lambda call, device: (call(), next(taken))[1])
    settings = TrainSettings(epochs=1, batch_size=512)
    row = together.measure("small", settings, 3, 1, torch.device("cpu"))
    assert row["together"] == [3]
    assert [row[key] for key in ("plain_float_s", "alone_s", "among_many_s", "ratio")] == [1, 4, 2, 2]
