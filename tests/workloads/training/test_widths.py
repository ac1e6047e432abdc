"""The ladder of widths against loops written out here."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwmodel.errors import ConfigError
from tests.workloads.compress.compress_models import quadrant_data, quadrant_net, tiny_net
from workloads import load_data, load_model
from workloads.compress import (
    LayerChoice,
    apply,
    calibrate,
    load_weights,
    reestimate_norms,
    uniform_config,
)
from workloads.training import TrainSettings, finetune, ladder, measure_accuracy

DATA = Path(os.environ.get("HWMODEL_DATA", "absent"))
MINMAX = LayerChoice(quantizer="minmax")


@pytest.fixture(scope="module")
def data():
    return quadrant_data(noise=3.0)


@pytest.fixture(scope="module")
def model(data):
    model = quadrant_net()
    finetune(model, data.train, TrainSettings(epochs=4, lr=0.1, batch_size=32), device="cpu")
    return model


def rounded(weight: np.ndarray, bits: int) -> np.ndarray:
    """(max - min) round((2^b - 1)(w - min)/(max - min))/(2^b - 1) + min."""
    low, span, levels = weight.min(), weight.max() - weight.min(), 2**bits - 1
    return span * np.round(levels * (weight - low) / span) / levels + low


def hits(model: nn.Module, split) -> int:
    with torch.no_grad():
        return int((model(split.x).argmax(1) == split.y).sum())


def test_scores_are_those_of_weights_that_are_rounded_by_hand(model, data):
    widths = (6, 3, 2, 1)
    steps = ladder(model, data.test, widths, like=MINMAX, keep_float=("conv",))
    assert [step.w_bits for step in steps] == list(widths)
    expected = []
    for bits in widths:
        other = copy.deepcopy(model).eval()
        other.fc.weight.data = torch.from_numpy(rounded(other.fc.weight.detach().numpy(), bits))
        expected.append(hits(other, data.test))
    assert [step.score.correct for step in steps] == expected
    assert len(set(expected)) > 1
    assert all(set(step.config.layers) == {"fc"} and step.score.total == len(data.test.y) for step in steps)


def test_inputs_and_norms_are_those_of_the_calibration(model, data):
    like, x = LayerChoice(a_bits=2, quantizer="affine"), data.train.x[:64]
    found = {
        norms: ladder(model, data.test, [4], like=like, calibration=x, norms=norms)[0] for norms in (False, True)
    }
    own = apply(model, uniform_config(model, LayerChoice(w_bits=4, a_bits=2, quantizer="affine")))
    calibrate(own, x)
    assert (found[False].score, found[False].a_bits) == (measure_accuracy(own, data.test), 2)
    reestimate_norms(own, x)
    assert found[True].score == measure_accuracy(own, data.test)
    assert found[True].score != found[False].score


def test_float_is_the_model_itself_and_nothing_is_changed(model, data):
    before = copy.deepcopy(model.state_dict())
    told = []
    steps = ladder(model, data.test, (32, 1), norms=True, calibration=data.train.x[:64], progress=told.append)
    assert steps[0].score == measure_accuracy(model, data.test)
    assert told == steps
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bits": ()}, "bits must hold at least one width"),
        ({"bits": (4, 17)}, "w_bits must be an integer in 1..16"),
        ({"bits": (4,), "norms": True}, "norms are re-estimated, which needs calibration"),
        ({"bits": (4,), "like": LayerChoice(a_bits=8)}, "inputs are quantized, which needs calibration"),
        ({"bits": (4,), "keep_float": ("cov",)}, "'cov' matched 0 of 2 layers. Did you mean 'conv'?"),
        ({"bits": (4,), "keep_float": ("*",)}, "all 2 stay float"),
    ],
)
def test_what_cannot_be_scored_is_refused(model, data, options, said):
    with pytest.raises(ConfigError) as refused:
        ladder(model, data.test, **options)
    assert said in str(refused.value)


def test_a_uniform_configuration_leaves_out_what_cannot_be_compressed():
    choice = LayerChoice(w_bits=4)
    assert set(uniform_config(tiny_net(), choice, ("block.*", "fc")).layers) == {"conv1"}
    attention = nn.ModuleDict({"mixed": nn.MultiheadAttention(8, 2), "out": nn.Linear(8, 8)})
    assert dict(uniform_config(attention, choice).layers) == {"out": choice}


@pytest.mark.skipif(not (DATA / "unpack.py").is_file(), reason="HWMODEL_DATA holds no CIFAR-10")
def test_three_bits_of_the_published_resnet20_score_as_published(tmp_path):
    """34.65 %: a course's ladder of min-max weights per tensor, first convolution and last layer float."""
    subprocess.run(
        [sys.executable, DATA / "unpack.py", tmp_path, "--train", "6000"], check=True, capture_output=True
    )
    data = load_data("cifar10", path=tmp_path / "cifar10.npz", normalize="imagenet")
    model = load_model("resnet20", shortcut="pad")
    load_weights(DATA / "weights" / "resnet20_cifar10.npz", model)
    (step,) = ladder(model, data.test, [3], like=MINMAX, keep_float=("conv1", "fc"))
    assert (step.score.correct, step.score.total) == (3465, 10000)
