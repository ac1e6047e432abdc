"""The workbench: where data come from, and whether a checkpoint has seen the validation split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwmodel.errors import ConfigError
from search.job import resume_job, run_job
from search.materials import Materials
from search.observer import Observer
from search.spec import parse_spec, read_spec
from workloads import load_model
from workloads.compress import read_config, save_weights
from workloads.data.arrays import VALIDATION
from workloads.models import published as room

MODEL = """
from torch import nn
def build():
    conv = nn.Conv2d(3, 4, 3, stride=4)
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""
DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset
from workloads.data import Dataset

def part(count, seed):
    y = torch.arange(count) % 2
    x = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) + 2.0 * y.view(-1, 1, 1, 1)
    return x, y

def pairs():
    return part(60, 0), part(30, 1), part(30, 2)

def streams():
    loaders = [DataLoader(TensorDataset(*p), batch_size=20, shuffle=not n) for n, p in enumerate(pairs())]
    return Dataset(name="s", train=loaders[0], validation=loaders[1], test=loaders[2], num_classes=2)

def values():
    return tuple((x, 0.5 * y) for x, y in pairs())
"""
SPEC = """
model: net.py:build
data: {data}
space: {{w_bits: [2, 8], frozen: none}}
search: {{trials: 4, qat: 1, test_seeds: 1}}
training: {{float: {{epochs: 2, batch_size: 20}}, qat: {{epochs: 1, batch_size: 20}}}}
"""


def cifar(folder: Path) -> Path:
    """The form of CIFAR-10's arrays, enough of them to cut a validation split from either part."""
    rng, count = np.random.default_rng(0), VALIDATION + 40
    x, y = rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8), (np.arange(count) % 10).astype(np.uint8)
    np.savez(folder / "cifar10.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return folder / "cifar10.npz"


def materials(folder: Path, data: str = "cifar10", **options: object) -> Materials:
    spec = parse_spec(f"model: resnet8\ndata: {data}\ncheckpoint: float.safetensors", folder=folder)
    return Materials(spec=spec.model_copy(update={"data_options": options}), folder=folder, observer=Observer())


def test_published_weights_are_validated_on_images_they_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cifar(tmp_path)
    save_weights(tmp_path / "float.safetensors", load_model("resnet8"))
    stranger = materials(tmp_path, path=path)
    assert stranger.data.validation_from == "train"
    assert stranger.validation_seen is None, "not known"
    assert stranger.data_notes == ()
    digest = room.content_digest(dict(load_model("resnet8").state_dict()))
    monkeypatch.setitem(room._KNOWN, digest, room.Published(model="resnet8", data="cifar10"))
    known = materials(tmp_path, path=path)
    assert known.data_options == known.context["data_options"] == {"path": path, "validation": "test"}
    assert len(known.data.test) == 40 and len(known.data.train) == VALIDATION + 40
    assert known.validation_seen is False
    assert "is cut from the test files (5,000 images; 40 stay test)" in known.data_notes[0]
    asked = materials(tmp_path, path=path, validation="train")
    assert asked.data.validation_from == "train" and asked.validation_seen is True
    assert "validation accuracy is memory. Use data_options: {validation: test}" in asked.data_notes[0]
    assert materials(tmp_path, data="digits").data_options == {}, "other data it has not seen"


def test_without_a_checkpoint_nothing_was_seen(tmp_path: Path) -> None:
    spec = parse_spec("model: resnet8\ndata: digits", folder=tmp_path)
    assert Materials(spec=spec, folder=tmp_path, observer=Observer()).validation_seen is False


@pytest.mark.parametrize("source", ["data.py:pairs", "data.py:streams", "own.npz"])
def test_a_search_on_own_data(tmp_path: Path, source: str) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "data.py").write_text(DATA)
    y = np.arange(100) % 2
    x = (np.random.default_rng(0).random((100, 8, 8, 3)) * 100 + 100 * y[:, None, None, None]).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    (tmp_path / "s.yaml").write_text(SPEC.format(data=source))
    result = run_job(tmp_path / "s.yaml", tmp_path / "run", device="cpu")
    assert result.num_failed == 0 and result.test is not None
    made = read_config(tmp_path / "run" / "best.yaml").provenance.data
    assert made is not None and made.name == str(tmp_path / source)
    again = resume_job(tmp_path / "run", device="cpu")
    assert again.picked.key == result.picked.key and again.num_done == result.num_done


def test_a_place_is_relative_to_the_specification(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "digits").mkdir()
    (tmp_path / "photos").mkdir()
    for data, wanted in (("digits", "digits"), ("photos", str(tmp_path / "photos"))):
        (tmp_path / "s.yaml").write_text(SPEC.format(data=data))
        assert read_spec(tmp_path / "s.yaml").data == wanted
    (tmp_path / "s.yaml").write_text(SPEC.format(data="absent.npz"))
    with pytest.raises(ConfigError, match=r"data: 'absent\.npz' is not a file"):
        read_spec(tmp_path / "s.yaml")


def test_a_regression_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "data.py").write_text(DATA)
    (tmp_path / "s.yaml").write_text(SPEC.format(data="data.py:values"))
    with pytest.raises(
        ConfigError, match=r"has floating-point targets, but a search from a file compares accuracies"
    ):
        run_job(tmp_path / "s.yaml", tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
