"""What users bring: arrays in an .npz, functions in a file, folders; where the validation split comes from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hwmodel.errors import ConfigError
from tests.workloads.training.test_data import VALIDATION, splits, write
from workloads import load_data, load_model
from workloads.compress import load_weights, save_weights
from workloads.data.arrays import FOLDER_VARIABLE
from workloads.models.published import published

FOLDER = os.environ.get(FOLDER_VARIABLE, "")
WEIGHTS = Path(FOLDER, "weights", "resnet20_cifar10.npz")


def images(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Image n holds the number n everywhere."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8).reshape(-1, *[1] * len(shape)), (count, *shape)).copy()


def numbers(x: torch.Tensor) -> list[int]:
    return sorted((x.flatten(1)[:, 0] * 255).round().int().tolist())


# ---- .npz --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "wanted"), [
    ((9, 9), (1, 9, 9)), ((8, 6, 3), (3, 8, 6)), ((3, 8, 6), (3, 8, 6)), ((1, 8, 6), (1, 8, 6)), ((5,), (5,)),
    ((2, 7), (2, 7)),
])  # fmt: skip
def test_arrays_of_any_shape(tmp_path: Path, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    path = tmp_path / "mine.npz"
    np.savez(
        path,
        x_train=images(40, shape),
        y_train=np.arange(40) % 4,
        x_test=images(12, shape),
        y_test=np.arange(12) % 4,
    )
    data = load_data(str(path), validation=0.25, normalize="none")
    assert data.input_shape == wanted and data.num_classes == 4
    assert [len(split) for split in splits(data)] == [30, 10, 12]
    assert numbers(torch.cat([data.train.x, data.validation.x])) == list(range(40))
    for split in splits(data):
        assert ((split.x.flatten(1)[:, 0] * 255).round() % 4 == split.y).all()
    normal = load_data("npz", path=path).train.x
    dims = (0, *range(2, normal.dim()))
    assert normal.mean(dims).abs().max() < 1e-5 and (normal.std(dims) - 1).abs().max() < 1e-3


def test_parts_of_a_file_are_taken_and_missing_ones_drawn(tmp_path: Path) -> None:
    x, y = images(100, (4, 4)), np.arange(100) % 2
    np.savez(tmp_path / "one.npz", x=x, y=y)
    alone = load_data(str(tmp_path / "one.npz"), normalize="none")
    assert [len(split) for split in splits(alone)] == [81, 9, 10]  # a tenth, then a tenth of the rest
    assert numbers(torch.cat([split.x for split in splits(alone)])) == list(range(100))
    np.savez(
        tmp_path / "all.npz",
        x_train=x[:60],
        y_train=y[:60],
        x_valid=x[60:80],
        y_valid=y[60:80],
        x_test=x[80:],
        y_test=y[80:],
    )
    whole = load_data(str(tmp_path / "all.npz"), normalize="none", limit=7)
    assert numbers(whole.validation.x) == list(range(60, 80)) and numbers(whole.test.x) == list(range(80, 100))
    assert len(whole.train) == 7 and set(numbers(whole.train.x)) <= set(range(60))
    assert (alone.validation_from, whole.validation_from) == ("train", "own")
    cut = load_data(str(tmp_path / "all.npz"), normalize="none", validation="test")
    assert cut.validation_from == "test"
    assert numbers(cut.train.x) == list(range(60))
    assert numbers(torch.cat([cut.validation.x, cut.test.x])) == list(range(80, 100)) and len(cut.test) == 10


def test_floating_targets_are_values(tmp_path: Path) -> None:
    path = tmp_path / "line.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(50, 3)), y=np.linspace(0, 1, 50)[:, None].repeat(2, 1))
    data = load_data(str(path))
    assert data.is_regression and data.num_classes == 2 and data.input_shape == (3,)
    assert "3, 2 outputs, 41 train / 4 validation / 5 test" in data.describe() == repr(data)[9:-1]
    np.savez(path, x=np.ones((50, 3)), y=np.arange(50.0))
    with pytest.raises(ConfigError, match="targets are whole numbers stored as float64"):
        load_data(str(path))
    assert load_data(str(path), regression=True).is_regression


@pytest.mark.parametrize(("changes", "message"), [
    ({"x": None}, "has y, but no x"),
    ({"x": None, "y": None, "a": np.ones(3)}, "must hold x_train and y_train, or x and y, but holds a"),
    ({"y": np.arange(19)}, r"must agree, but are \(20, 5, 5, 3\) and \(19,\)"),
    ({"x": np.ones((20, 5, 5, 3), np.int64)}, "must be uint8 or floating-point, but are int64"),
    ({"x": np.full((20, 4), np.nan)}, "inputs must be finite"),
    ({"x": np.ones((20, 3, 5, 3), np.uint8)}, r"which dim of \(20, 3, 5, 3\) are the channels"),
    ({"y": np.eye(20, dtype=int)}, "One-hot: take the argmax"),
    ({"y": np.arange(20) % 2 + 1}, "each in the training part, but it has no 0. Number the classes from 0"),
    ({"y": np.arange(20) % 2 - 1}, "labels must be 0, 1, 2, ..., but go down to -1"),
    ({"y": np.array(["a"] * 20)}, "targets must be integers"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_explained(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    arrays = {"x": np.zeros((20, 5, 5, 3), np.uint8), "y": np.arange(20) % 2} | changes
    np.savez(tmp_path / "a.npz", **{key: value for key, value in arrays.items() if value is not None})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"^data 'npz': a.npz: .*{message}"):
        load_data(str(tmp_path / "a.npz"))


def test_options_out_of_range(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    np.savez(path, x=np.zeros((20, 5, 5, 3), np.uint8), y=np.arange(20) % 2)
    for options, message in [
        ({"validation": 1.0}, '`0 < validation < 1` or "test" must hold, but got validation=1.0'),
        ({"validation": "tst"}, "but got validation='tst'"),
        ({"validation": "test"}, "needs x_test and y_test in the file"),
        ({"test": 0.99}, "too few to draw 20 for test"),
        ({"valdation": 0.1}, "Did you mean 'validation'"),
        ({"layout": "CHW"}, "layout must be auto, NCHW or NHWC"),
        ({"normalize": "imagenet", "layout": "NCHW"}, "is of colour images"),
    ]:
        with pytest.raises(ConfigError, match=message):
            load_data(path, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"or FILE\.npz, a folder of images, or FILE\.py:FUNCTION"):
        load_data("nothing")


# ---- FILE.py:function --------------------------------------------------------------------------------

SOURCE = """
import numpy as np, torch
from torch.utils.data import DataLoader, TensorDataset
from workloads.data import Dataset

def pairs(count=12, kind="float32"):
    x = np.arange(count * 4, dtype=kind).reshape(count, 1, 2, 2)
    y = np.arange(count) % 3
    return (x, y), (x[:6], y[:6]), (torch.tensor(x[6:]), torch.tensor(y[6:]))

def loaders():
    return [DataLoader(TensorDataset(*map(torch.as_tensor, part)), batch_size=5) for part in pairs()]

def streams():
    train, validation, test = loaders()
    return Dataset(name="s", train=train, validation=validation, test=test, num_classes=3)

def wrong(): return 1
def two(): return pairs()[:2]
def broken(): return {}["x"]
"""


def test_a_function_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(SOURCE)
    place = f"{tmp_path / 'my.py'}:"
    data = load_data(f"{place}pairs", count=9)
    assert [len(split) for split in splits(data)] == [9, 6, 3]
    assert (data.num_classes, data.input_shape, data.validation_from) == (3, (1, 2, 2), "own")
    assert data.train.x[1].flatten().tolist() == [4, 5, 6, 7] and data.train.y.tolist() == [0, 1, 2] * 3
    streamed = load_data(f"{place}streams")
    assert streamed.input_shape == (1, 2, 2)
    assert torch.equal(streamed.example(6), data.validation.x)
    assert streamed.describe() == "s: 1×2×2, 3 classes, 12 train / 6 validation / 6 test"
    for function, message in {
        "wrong": r"my\.py:wrong must return .*, but returned int",
        "two": "but returned 2 values",
        "broken": r"Data 'my\.py:broken' could not be made: KeyError: 'x'",
        "loaders": "loaders do not say how many classes",
        "pair": "has no function 'pair'. Did you mean 'pairs'",
    }.items():
        with pytest.raises(ConfigError, match=message):
            load_data(place + function)
    with pytest.raises(ConfigError, match="inputs must be floating-point, but are uint8"):
        load_data(f"{place}pairs", kind="uint8")
    with pytest.raises(ConfigError, match=r"Write .*my\.py:FUNCTION"):
        load_data(str(tmp_path / "my.py"))


# ---- where the validation split comes from -----------------------------------------------------------


@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28)), ("cifar10", (32, 32, 3))])
def test_validation_may_come_from_the_test_files(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    count = VALIDATION + 20
    index = np.arange(count)
    x = np.zeros((count, *shape), np.uint8)
    x.reshape(count, -1)[:, 0], x.reshape(count, -1)[:, 1] = index % 256, index // 256
    path = write(tmp_path / "data.npz", shape, x_test=x, y_test=(index % 10).astype(np.uint8))
    data = load_data(name, path=path, validation="test", normalize="none")
    assert [len(split) for split in splits(data)] == [VALIDATION + 100, VALIDATION, 20]
    held = torch.cat([data.validation.x, data.test.x]).flatten(1)
    assert len(torch.unique(held, dim=0)) == count, "every test image, once"
    usual = load_data(name, path=path, normalize="none")
    assert [len(split) for split in splits(usual)] == [100, VALIDATION, count]
    assert (data.validation_from, usual.validation_from) == ("test", "train")
    assert len(load_data(name, path=path, validation="test", limit=10).train) == 10
    with pytest.raises(ConfigError, match="validation must be train or test, but got validation='tst'"):
        load_data(name, path=path, validation="tst")


def test_half_of_each_class_of_a_test_folder(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("test", 6)):
        for label, name in enumerate("ab"):
            for n in range(count):
                place = tmp_path / part / name
                place.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (4, 4), (100 * label + n, 0, 0)).save(place / f"{n}.png")
    data = load_data(str(tmp_path), size=4, validation="test", normalize="none")
    assert data.validation_from == "test" and data.name == tmp_path.name
    assert [len(split) for split in splits(data)] == [10, 6, 6]
    assert data.validation.y.tolist().count(0) == data.test.y.tolist().count(0) == 3
    assert numbers(torch.cat([data.validation.x, data.test.x])) == [*range(6), *range(100, 106)]
    with pytest.raises(ConfigError, match="validation: test needs the images of a folder"):
        load_data(str(tmp_path / "train"), validation="test")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="HWMODEL_DATA holds no weights")
def test_published_weights_are_known_by_their_content(tmp_path: Path) -> None:
    found = published(WEIGHTS)
    assert found is not None and (found.model, found.data) == ("resnet20", "cifar10")
    model = load_model("resnet20", shortcut="pad")
    load_weights(WEIGHTS, model)
    assert published(save_weights(tmp_path / "again.safetensors", model)) == found
    torch.save(model.state_dict(), tmp_path / "again.pt")
    assert published(tmp_path / "again.pt") == found
    with torch.no_grad():
        model.fc.bias[0] += 1e-3
    assert published(save_weights(tmp_path / "other.safetensors", model)) is None
