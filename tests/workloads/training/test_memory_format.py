"""Images with their channels side by side: the same training and the same scores, in another order of memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import quadrant_data
from workloads import load_data, load_model
from workloads.compress import CompressionConfig
from workloads.training import Scorer, TrainSettings, finetune, measure, measure_accuracy, pretrain
from workloads.training.growing import growing_hits
from workloads.training.step.layout import laid_out

SETTINGS = TrainSettings(epochs=2, lr=0.02, batch_size=32, crop=1, flip=True, memory_format="channels_last")
OTHER = replace(SETTINGS, memory_format="contiguous")


@pytest.fixture(scope="module")
def data():
    return load_data("digits").subset(train=128, validation=96, test=32)


def net(in_channels: int = 1) -> nn.Module:
    return load_model("resnet8", in_channels=in_channels, width=8)


def is_last(x: Tensor) -> bool:
    """By its strides, which is how torch tells: with one channel both orders are one."""
    return x.stride(1) == 1 and x.stride(3) == x.shape[1]


@contextmanager
def watched(model: nn.Module) -> Iterator[list[bool]]:
    """Whether the output of every convolution that runs has its channels side by side."""
    seen: list[bool] = []

    def note(_module: nn.Module, _inputs: object, out: Tensor) -> None:
        seen.append(is_last(out))

    handles = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d)]
    yield seen
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_change_their_strides_and_nothing_else(channels: int) -> None:
    images = torch.randn(4, channels, 6, 5)
    last = laid_out(images, "channels_last")
    assert torch.equal(last, images) and is_last(last)
    assert is_last(last[1:3]), "a part of a batch stays so"
    assert laid_out(images, "contiguous") is images
    assert is_last(nn.Conv2d(channels, 7, 3)(last)), "the next layer follows"


def test_other_inputs_are_refused(data) -> None:
    with pytest.raises(ConfigError, match=r"is of images \(N, C, H, W\), but the inputs are \(32, 64\)\. Use"):
        flat = (data.train.x.flatten(1), data.train.y)
        finetune(nn.Linear(64, 10), flat, replace(SETTINGS, crop=0, flip=False), device="cpu")
    with pytest.raises(ConfigError, match=r"memory_format must be one of contiguous, channels_last"):
        measure_accuracy(net(), data.validation, memory_format="nhwc")


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_training_is_the_same_up_to_rounding_and_the_model_keeps_its_layout(data, amp: str) -> None:
    made, weights = [], []
    for settings in (SETTINGS, OTHER):
        model = net()
        with watched(model) as seen:
            made.append(finetune(model, data.train, replace(settings, amp=amp), device="cpu"))
        assert set(seen) == {settings is SETTINGS}
        assert all(p.is_contiguous() for p in model.parameters())
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    near = {"off": 1e-4, "bf16": 0.05}[amp]
    assert made[0].history[-1].loss == pytest.approx(made[1].history[-1].loss, rel=near)
    assert float((weights[0] - weights[1]).norm() / weights[1].norm()) < near


def test_every_score_is_measured_so(data) -> None:
    model = net()
    with watched(model) as seen:
        measure_accuracy(model, data.validation, memory_format="channels_last")
        measure(model, data.validation, metric=lambda o, _: o.sum().abs(), memory_format="channels_last")
        growing_hits(model, data.validation, lambda _: False, memory_format="channels_last")
    assert len(seen) == 3 * 9 and all(seen)
    with watched(model) as seen:
        measure_accuracy(model, data.validation)
    assert not any(seen)


def test_the_scorer_scores_so(data) -> None:
    config = CompressionConfig.from_bits({"layer1.0.conv1": 4, "layer2.0.conv2": 4}, a_bits=4)
    model = net()
    finetune(model, data.train, OTHER, device="cpu")
    last, usual = (Scorer(copy.deepcopy(model), data, s, "cpu") for s in (SETTINGS, OTHER))
    assert is_last(last._calibration) and not is_last(usual._calibration)
    for scorer in (last, usual):
        compressed = scorer.compressed(config)
        with watched(compressed) as seen:
            scorer.validation(compressed)
            scorer.test(compressed)
        assert set(seen) == {scorer is last}
    assert abs(last.ptq(config).accuracy.value - usual.ptq(config).accuracy.value) <= 2 / 96
    assert np.mean(last.ptq_hits(config, lambda _: True) != usual.ptq_hits(config, lambda _: True)) <= 2 / 96
    trained = [scorer.qat(config)[0].value for scorer in (last, usual)]
    assert abs(trained[0] - trained[1]) <= 0.05


def test_pretraining_scores_so(data, tmp_path) -> None:
    model = net()
    first = pretrain(model, data, SETTINGS, tmp_path / "float.safetensors", device="cpu")
    assert first.accuracy == measure_accuracy(model, data.validation, memory_format="channels_last")
    again = pretrain(net(), data, SETTINGS, tmp_path / "float.safetensors", device="cpu")
    assert again.reused and again.accuracy == first.accuracy


def test_quadrants_of_three_channels_train() -> None:
    split = quadrant_data().train
    wide = (split.x.repeat(1, 3, 1, 1), split.y)
    model = net(3)
    with watched(model) as seen:
        finetune(model, wide, replace(SETTINGS, epochs=1), device="cpu")
    assert all(seen)
