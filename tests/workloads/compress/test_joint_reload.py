"""Quantized, pruned by hooks and distilled at once, then rebuilt from the two files that a new process has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hwmodel.errors import ConfigError
from workloads import load_data, load_model, trace
from workloads.compress import (
    CompressionConfig,
    apply,
    calibrate,
    load_compressed,
    load_weights,
    quantized_layers,
    read_metadata,
    save_compressed,
    save_weights,
    write_config,
)
from workloads.compress.pruning import OneShot, get_masks
from workloads.training import MagnitudePruner, TrainSettings, finetune

_REBUILD = """
import sys
import torch
from workloads import load_model
from workloads.compress import apply, load_weights, read_config
from safetensors.torch import load_file
folder = sys.argv[1]
expected = load_file(folder + "/outputs.safetensors")
model = apply(load_model("resnet8", in_channels=1), read_config(folder + "/best.yaml").config).eval()
load_weights(folder + "/best.safetensors", model)
with torch.no_grad():
    assert torch.equal(model(expected["x"]), expected["y"])
"""


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


def _config(quantizer: str) -> CompressionConfig:
    bits = {"conv1": 8, "layer1.0.conv1": 4, "layer2.0.conv1": 3, "fc": 8}
    return CompressionConfig.from_bits(bits, a_bits=4, quantizer=quantizer, granularity="channel")


@pytest.mark.parametrize(("quantizer", "pattern"), [("lsq", "unstructured"), ("pact", "filter"), ("affine", "2:4")])
def test_a_new_process_computes_the_same_to_the_last_bit(
    tmp_path: Path, data, quantizer: str, pattern: str
) -> None:
    torch.manual_seed(0)
    teacher = load_model("resnet8", in_channels=1)
    x = torch.as_tensor(data.train.x[:32])
    config = _config(quantizer)
    model = apply(teacher, config)
    calibrate(model, x)
    layers = ["layer1.0.conv1", "layer2.0.conv1"]
    hook = MagnitudePruner(OneShot(final=0.5, start=1), pattern=pattern, layers=layers)
    settings = TrainSettings(epochs=1, distill_weight=0.5)
    finetune(model, data.train.take(128), settings, hooks=[hook], teacher=teacher, device="cpu")
    model.eval()
    with torch.no_grad():
        y = model(x)
    assert set(get_masks(model)) == set(layers)

    write_config(tmp_path / "best.yaml", config, trace(teacher, x[:1]))
    save_weights(tmp_path / "best.safetensors", model)
    safetensors.torch.save_file({"x": x, "y": y}, tmp_path / "outputs.safetensors")
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, "-c", _REBUILD, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def test_a_mask_of_another_shape_is_refused_and_leaves_the_model_alone(tmp_path: Path) -> None:
    config = _config("lsq")
    model, other = (apply(load_model("resnet8", in_channels=1), config) for _ in range(2))
    layer = dict(quantized_layers(model))["fc"]
    layer.mask = torch.ones(3, 4, dtype=torch.bool)
    save_weights(tmp_path / "m.safetensors", model)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ConfigError, match=r"'fc\.mask' must have shape \(10, 64\), but has \(3, 4\)"):
        load_weights(tmp_path / "m.safetensors", other)
    assert other.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    ("saved", "loaded"),
    [({"quantizer": "affine"}, {"quantizer": "symmetric"}), ({"quantizer": "minmax"}, {"quantizer": "affine"}),
     ({"rounding": "floor"}, {"rounding": "nearest"})],
)  # fmt: skip
@pytest.mark.parametrize(("save", "load"), [(save_weights, load_weights), (save_compressed, load_compressed)])
def test_weights_of_another_quantizer_with_the_same_names_are_refused(
    tmp_path: Path, saved, loaded, save, load
) -> None:
    model, other = (
        apply(load_model("resnet8", in_channels=1), CompressionConfig.from_bits({"fc": 4}, a_bits=8, **options))
        for options in (saved, loaded)
    )
    save(tmp_path / "m.safetensors", model, metadata={"epoch": "3"})
    assert read_metadata(tmp_path / "m.safetensors").get("epoch") == "3"
    with pytest.raises(ConfigError, match=r"'fc' must be quantized by .* as configured, but was by"):
        load(tmp_path / "m.safetensors", other)
    assert load(tmp_path / "m.safetensors", model) == {"epoch": "3"}
