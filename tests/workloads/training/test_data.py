"""Splits are disjoint, complete, seeded and normalised; files are checked."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from hwmodel.errors import ConfigError
from workloads import data_names, load_data
from workloads.data.arrays import FOLDER_VARIABLE, VALIDATION
from workloads.data.digits import split_indices

FOLDER = os.environ.get(FOLDER_VARIABLE, "")


def splits(data):
    return (data.train, data.validation, data.test)


def test_names():
    assert data_names() == ["cifar10", "digits", "folder", "mnist", "npz", "synthetic", "text"]


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=10)
def test_digits_are_split_without_overlap(seed):
    labels = load_digits().target
    parts = split_indices(labels, seed)
    assert [len(part) for part in parts] == [1077, 360, 360]
    assert sorted(np.concatenate(parts)) == list(range(1797))
    for part in parts:  # every class within one image of its share
        shares = Counter(labels[part])
        for label, total in Counter(labels).items():
            assert abs(shares[label] - total * len(part) / 1797) <= 1


def test_digits():
    data = load_data("digits")
    assert data.input_shape == (1, 8, 8) and data.num_classes == 10
    assert [len(split) for split in splits(data)] == [1077, 360, 360]
    assert abs(data.train.x.mean()) < 1e-5 and abs(data.train.x.std() - 1) < 1e-3
    assert data.describe().endswith("1×8×8, 10 classes, 1,077 train / 360 validation / 360 test")


def test_digits_in_other_parts():
    data = load_data("digits", validation=300, test=700)
    assert [len(split) for split in splits(data)] == [797, 300, 700]
    assert torch.bincount(data.test.y).min() >= 66  # 174 scans of the rarest class: its share is 67.8
    for options, message in (
        ({"test": 9}, "`test >= 10` must hold"),
        ({"validation": 0}, "`validation >= 10` must hold"),
        ({"validation": 900, "test": 888}, r"`validation \+ test <= 1787` must hold"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_data("digits", **options)


def test_digits_keep_image_and_label_together():
    """Undo the normalisation: every image with its label is one of the scans."""
    bundle = load_digits()
    scans = {
        image.tobytes(): label for image, label in zip(bundle.images.astype(np.float32), bundle.target, strict=True)
    }
    data = load_data("digits", seed=3)
    everything = torch.cat([split.x for split in splits(data)])
    low, high = everything.min(), everything.max()  # 0 and 16
    for split in splits(data):
        pixels = ((split.x - low) / (high - low) * 16).round().numpy()
        assert [scans[image[0].tobytes()] for image in pixels] == split.y.tolist()


def test_digits_seed():
    """Every split is drawn by the seed, the test split too: its images are not those of another seed."""
    drawn = [load_data("digits", seed=seed) for seed in (0, 0, 1)]
    for first, again, other in zip(*map(splits, drawn), strict=True):
        assert torch.equal(first.x, again.x) and torch.equal(first.y, again.y)
        assert not torch.equal(first.y, other.y)
    chosen = [set(split_indices(load_digits().target, seed)[2].tolist()) for seed in (0, 1)]
    assert len(chosen[0] & chosen[1]) < 360 / 2  # 72 by chance


def test_digits_resized_and_in_three_channels():
    data = load_data("digits", size=32, channels=3)
    assert data.input_shape == (3, 32, 32)
    assert torch.equal(data.test.x[:, 0], data.test.x[:, 2])


def test_synthetic_labels_can_be_learned():
    data = load_data("synthetic", shape=(2, 8, 8), num_classes=5, train=300, validation=50, test=50)
    assert data.input_shape == (2, 8, 8)
    means = torch.stack([data.train.x[data.train.y == label].mean(0) for label in range(5)])
    nearest = torch.cdist(data.test.x.flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == data.test.y).float().mean() > 0.9  # chance is 0.2


def test_synthetic_seed():
    drawn = [load_data("synthetic", seed=seed, train=20, validation=20, test=20) for seed in (0, 0, 1)]
    for first, again, other in zip(*map(splits, drawn), strict=True):
        assert torch.equal(first.x, again.x) and not torch.equal(first.x, other.x)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digit", {}, "No data 'digit'. Did you mean 'digits'?"),
        ("digits", {"sizes": 32}, "has no option 'sizes'. Did you mean 'size'?"),
        ("digits", {"size": 0}, "`size >= 1` must hold"),
        ("digits", {"seed": -1}, "`seed >= 0` must hold"),
        ("digits", {"channels": 1.5}, "`channels >= 1` must hold"),
        ("synthetic", {"shape": (3, 8, 9)}, "shape must be (channels, size, size)"),
        ("synthetic", {"noise": -1.0}, "`noise >= 0` must hold"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ConfigError) as caught:
        load_data(name, **options)
    assert message in str(caught.value)


# ---- files ---------------------------------------------------------------------------------------

TRAIN = VALIDATION + 100


def write(path: Path, shape, **changes) -> Path:
    """Images whose first pixel tells their index, labels = index mod 10."""
    arrays = {}
    for part, count in (("train", TRAIN), ("test", 50)):
        index = np.arange(count)
        images = np.zeros((count, *shape), np.uint8)
        flat = images.reshape(count, -1)
        flat[:, 0], flat[:, 1] = index % 256, index // 256
        arrays[f"x_{part}"], arrays[f"y_{part}"] = images, (index % 10).astype(np.uint8)
    np.savez(path, **{key: value for key, value in {**arrays, **changes}.items() if value is not None})
    return path


@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28)), ("cifar10", (32, 32, 3))])
def test_validation_comes_from_the_train_part(name, shape, tmp_path):
    path = write(tmp_path / "data.npz", shape)
    data = load_data(name, path=path)
    assert [len(split) for split in splits(data)] == [100, VALIDATION, 50]
    images = torch.cat([data.train.x, data.validation.x]).flatten(1)
    assert len(torch.unique(images, dim=0)) == TRAIN  # each once
    assert load_data(name, path=path, seed=1).validation.y.tolist() != data.validation.y.tolist()
    limited = load_data(name, path=path, limit=30)
    assert torch.equal(limited.train.y, data.train.y[:30])
    assert torch.equal(limited.validation.y, data.validation.y)


def test_mnist_is_padded_for_lenet(tmp_path):
    path = write(tmp_path / "data.npz", (28, 28))
    data = load_data("mnist", path=path, size=32, channels=3)
    assert data.input_shape == (3, 32, 32)
    assert load_data("mnist", path=path, size=14).input_shape == (1, 14, 14)


def test_files_are_looked_for_where_the_variable_says(tmp_path, monkeypatch):
    write(tmp_path / "mnist.npz", (28, 28))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert load_data("mnist").num_classes == 10
    with pytest.raises(ConfigError, match=r"no file cifar10\.npz .* Provide an \.npz with x_train"):
        load_data("cifar10")
    monkeypatch.delenv(FOLDER_VARIABLE)
    with pytest.raises(ConfigError, match=r"give path=FILE, or set HWMODEL_DATA"):
        load_data("mnist")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "has no y_test"),
        ({"x_test": np.zeros((50, 28, 27), np.uint8)}, r"must be uint8 \(N, 28, 28\), but is uint8 \(50, 28, 27\)"),
        ({"x_test": np.zeros((50, 28, 28), np.float32)}, "x_test must be uint8"),
        ({"y_test": np.zeros(49, np.uint8)}, r"y_test must be integers \(50,\)"),
        ({"y_test": np.full(50, 10, np.uint8)}, r"labels must be 0\.\.9, but y_test has 10\.\.10"),
    ],
)
def test_bad_arrays(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load_data("mnist", path=write(tmp_path / "data.npz", (28, 28), **changes))


def test_truncated_file(tmp_path):
    path = write(tmp_path / "data.npz", (28, 28))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"cannot be read as \.npz"):
        load_data("mnist", path=path)


@pytest.mark.skipif(not Path(FOLDER, "mnist.npz").is_file(), reason="HWMODEL_DATA holds no mnist.npz")
def test_real_mnist():
    data = load_data("mnist", limit=1000)
    assert [len(split) for split in splits(data)] == [1000, 5000, 10_000]
    assert data.input_shape == (1, 28, 28)


@pytest.mark.skipif(not Path(FOLDER, "cifar10.npz").is_file(), reason="HWMODEL_DATA holds no cifar10.npz")
def test_real_cifar10():
    data = load_data("cifar10", limit=1000)
    assert [len(split) for split in splits(data)] == [1000, 5000, 10_000]
    assert data.input_shape == (3, 32, 32)
