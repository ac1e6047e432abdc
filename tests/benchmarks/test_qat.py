"""The benchmark of a QAT step: what it compares, on a step that costs nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks import qat
from workloads.compress import quantized_layers


def test_all_layers_of_the_quantized_models_are_w4a4() -> None:
    found = qat.models(torch.zeros(2, 3, 32, 32) + torch.arange(32.0))
    assert list(found) == ["float", "lsq", "minmax"]
    assert not list(quantized_layers(found["float"]))
    count = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in found["float"].modules())
    for name in qat.QUANTIZERS:
        layers = [layer for _, layer in quantized_layers(found[name])]
        assert len(layers) == count
        assert {(layer.choice.w_bits, layer.choice.a_bits) for layer in layers} == {(4, 4)}


def test_ratios_are_those_of_the_float_step(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([9.0, 9.0, 9.0, 2.0, 3.0, 4.0, 1.0, 2.0, 2.0, 3.0, 3.0, 9.0])  # first steps, then three rounds
    monkeypatch.setattr(qat, "BATCH", 2)
    monkeypatch.setattr(qat, "seconds", lambda step: next(ticks))
    rows = {row["model"]: row for row in qat.measure("cpu", "eager", 3)}
    assert [rows["lsq"][key] for key in ("min_s", "median_s", "ratio_of_min", "ratio_of_median")] == [2, 3, 2, 1.5]
    assert [rows["minmax"][key] for key in ("ratio_of_min", "ratio_of_median")] == [2, 2]


def test_a_machine_without_a_gpu_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for row in qat.measure("cuda", "compiled", 3):
        qat.show(row)
    assert capsys.readouterr().out.split("\n")[0].split() == ["cuda", "compiled", "lsq", "not", "measured"]
