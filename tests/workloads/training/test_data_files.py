"""The files that data sets come in: CIFAR's batches, IDX, folders of images, a text."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hwmodel.errors import ConfigError
from workloads import load_data, load_model
from workloads.compress import load_weights
from workloads.data import arrays, cifar_binary
from workloads.data.dataset import IMAGENET, Split, make_dataset
from workloads.training import TrainSettings, finetune, measure_accuracy

DATA = os.environ.get("HWMODEL_DATA", "")
SHARED = Path(DATA) / "unpack.py"


# ---- CIFAR-10 as its authors publish it ----------------------------------------------------------


@pytest.fixture
def batches(tmp_path, monkeypatch):
    """A small folder of batches: twenty records each, the label and a colour per record."""
    monkeypatch.setattr(cifar_binary, "BATCH", 20)
    monkeypatch.setattr(arrays, "VALIDATION", 10)
    folder = tmp_path / cifar_binary.FOLDER
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        records = bytearray()
        for index in range(20):
            planes = [np.full((32, 32), value, np.uint8) for value in (number, index, 7)]
            planes[0][0, 1] = 200  # row 0, column 1 of red
            records += bytes([index % 10]) + b"".join(plane.tobytes() for plane in planes)
        (folder / name).write_bytes(records)
    return folder


def test_batches_are_read_plane_by_plane(batches):
    for place in (batches, batches.parent):
        found = cifar_binary.read_binary(place)
        assert found["x_train"].shape == (100, 32, 32, 3) and found["x_test"].shape == (20, 32, 32, 3)
        assert found["x_train"][43, 5, 6].tolist() == [2, 3, 7]  # third batch, fourth record
        assert found["x_train"][43, 0, 1].tolist() == [200, 3, 7]
        assert found["y_train"][43] == 3
    data = load_data("cifar10", path=batches)
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)


def test_the_archive_is_checked_by_its_hash(batches, monkeypatch):
    path = batches.parent / cifar_binary.ARCHIVE
    with tarfile.open(path, "w:gz") as archive:
        archive.add(batches, arcname=cifar_binary.FOLDER)
    with pytest.raises(ConfigError, match=r"MD5 of cifar-10-binary\.tar\.gz is c32a1d4ab5d03f1284b67883e8d87530"):
        load_data("cifar10", path=path)
    monkeypatch.setattr(cifar_binary, "ARCHIVE_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    assert torch.equal(load_data("cifar10", path=path).test.x, load_data("cifar10", path=batches).test.x)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_3.bin", b"\0" * 100, r"data_batch_3.bin must have 61,460 bytes, but has 100"),
        ("test_batch.bin", b"\3" * 61460, "must hold equally many images of each of 10 classes"),
        ("data_batch_5.bin", None, "cannot read data_batch_5.bin"),
    ],
)
def test_bad_batches(batches, name, content, message):
    if content is None:
        (batches / name).unlink()
    else:
        (batches / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_data("cifar10", path=batches)


# ---- IDX -----------------------------------------------------------------------------------------


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def idx_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "VALIDATION", 10)
    rng = np.random.default_rng(0)
    parts = {"train": 40, "t10k": 15}
    for part, count in parts.items():
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        labels = (np.arange(count) % 10).astype(np.uint8)
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def test_idx_files_plain_and_gzipped(idx_folder):
    data = load_data("mnist", path=idx_folder, normalize="none")
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 15)
    raw = (idx_folder / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert (data.test.x * 255).round().to(torch.uint8).numpy().tobytes() == raw
    assert data.test.y.tolist() == [n % 10 for n in range(15)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4", "must be an IDX file of unsigned bytes, but begins with 50 4b 03 04"),
        (bytes([0, 0, 8, 3, 0]), "is cut short"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]), r"must have 17 bytes for \(9,\), but has 9"),
        (None, "has no train-images-idx3-ubyte"),
    ],
)
def test_bad_idx(idx_folder, content, message):
    file = idx_folder / "train-images-idx3-ubyte"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_data("mnist", path=idx_folder)


# ---- a folder of images --------------------------------------------------------------------------


def paint(path: Path, colour, size=(40, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_a_folder_is_split_class_by_class(tmp_path):
    for label, name in enumerate(("apple", "pear")):
        for n in range(20):
            paint(tmp_path / name / f"{n}.png", (100 * label, 2 * n, 0))
    data = load_data("folder", path=tmp_path, size=16, validation=0.2, test=0.1, normalize="none")
    assert data.input_shape == (3, 16, 16) and data.num_classes == 2
    for split, count in ((data.train, 14), (data.validation, 4), (data.test, 2)):
        assert split.y.tolist().count(0) == split.y.tolist().count(1) == count
        assert ((split.x[:, 0, 0, 0] * 255).round() == 100 * split.y).all()
    everything = torch.cat([split.x for split in (data.train, data.validation, data.test)])
    assert len(torch.unique(everything.flatten(1), dim=0)) == 40  # each image once
    other = load_data("folder", path=tmp_path, size=16, seed=1, validation=0.2, test=0.1, normalize="none")
    for mine, drawn in ((data.validation, other.validation), (data.test, other.test)):
        assert torch.equal(mine.y, drawn.y) and not torch.equal(mine.x, drawn.x), "the seed draws other images"


def test_folders_for_the_splits_are_taken(tmp_path):
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        for name in ("a", "b"):
            for n in range(count):
                paint(tmp_path / part / name / f"{n}.jpg", (n, n, n))
    data = load_data("folder", path=tmp_path, channels=1, size=8)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [8, 4, 6]
    assert data.input_shape == (1, 8, 8)


def test_bad_folders(tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        load_data("folder", path=tmp_path / "none")
    paint(tmp_path / "a" / "0.png", (0, 0, 0))
    with pytest.raises(ConfigError, match="a folder per class, two at least"):
        load_data("folder", path=tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match="b has no image"):
        load_data("folder", path=tmp_path)
    paint(tmp_path / "b" / "0.png", (0, 0, 0))
    with pytest.raises(ConfigError, match="too few to draw 1"):
        load_data("folder", path=tmp_path)
    for name in ("a", "b"):
        for n in range(1, 5):
            paint(tmp_path / name / f"{n}.png", (0, 0, 0))
    (tmp_path / "b" / "9.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"9\.png: cannot be read as an image"):
        load_data("folder", path=tmp_path)


# ---- a text --------------------------------------------------------------------------------------


def test_a_text_is_its_bytes_each_with_the_next(tmp_path):
    content = bytes(range(256)) * 4
    (tmp_path / "a.txt").write_bytes(content)
    data = load_data("text", path=tmp_path / "a.txt", context=16, validation=0.1, test=0.1)
    assert data.input_shape == (16,) and data.num_classes == 256
    assert bytes(data.train.x.flatten().tolist()) == content[: data.train.x.numel()]
    for split in (data.train, data.validation, data.test):
        assert torch.equal((split.x + 1) % 256, split.y)
    assert bytes(data.test.x[0].tolist()) == content[int(1024 * 0.9) :][:16]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 200}, "must have more than context=200 bytes"),
        ({"validation": 0.6, "test": 0.4}, "`validation \\+ test < 1` must hold"),
        ({"context": 0}, "`context >= 1` must hold"),
    ],
)
def test_bad_texts(tmp_path, options, message):
    (tmp_path / "a.txt").write_bytes(b"x" * 1000)
    with pytest.raises(ConfigError, match=message):
        load_data("text", path=tmp_path / "a.txt", **options)


def test_a_language_model_learns_a_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"the quick brown fox. " * 200)
    data = load_data("text", path=tmp_path / "a.txt", context=16)
    model = load_model("transformer", dim=32, depth=1, heads=2, context=16)
    before = measure_accuracy(model, data.validation)
    settings = TrainSettings(epochs=3, lr=3e-3, optimizer="adam", batch_size=16)
    result = finetune(model, data.train, settings, validation=data.validation)
    after = result.history[-1].validation
    assert before.total == after.total == data.validation.y.numel()
    assert after.value > 0.6 > before.value  # nothing but the phrase: nearly every byte can be known


# ---- scale, and the published weights ------------------------------------------------------------


def test_normalize_by_the_constants_of_imagenet():
    x = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    part = (x, torch.zeros(5))
    data = make_dataset("d", (part, part, part), 10, "", normalize="imagenet")
    for channel, (mean, deviation) in enumerate(zip(*IMAGENET, strict=True)):
        assert torch.allclose(data.test.x[:, channel], (x[:, channel] - mean) / deviation)
    with pytest.raises(ConfigError, match="normalize must be one of train, imagenet, none"):
        make_dataset("d", (part, part, part), 10, "", normalize="imagnet")  # type: ignore[arg-type]
    grey = (x[:, :1], torch.zeros(5))
    with pytest.raises(ConfigError, match=r"of colour images, but these are \(5, 1, 4, 4\)"):
        make_dataset("d", (grey, grey, grey), 10, "", normalize="imagenet")


def test_tokens_and_targets_have_one_shape():
    with pytest.raises(ConfigError, match="tokens and targets must be int64"):
        Split(x=torch.zeros(3, 4, dtype=torch.int64), y=torch.zeros(3, dtype=torch.int64))


@pytest.mark.skipif(not SHARED.is_file(), reason="HWMODEL_DATA holds no CIFAR-10")
def test_published_weights_of_resnet20_score_as_published(tmp_path):
    # 91.73 %: github.com/akamaster/pytorch_resnet_cifar10, table of the pretrained models
    subprocess.run([sys.executable, SHARED, tmp_path, "--train", "6000"], check=True, capture_output=True)
    data = load_data("cifar10", path=tmp_path / "cifar10.npz", normalize="imagenet")
    model = load_model("resnet20", shortcut="pad")
    load_weights(Path(DATA) / "weights" / "resnet20_cifar10.npz", model)
    accuracy = measure_accuracy(model, data.test)
    assert (accuracy.correct, accuracy.total) == (9173, 10000)
