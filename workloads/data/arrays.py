"""MNIST and CIFAR-10 from files that the user provides: those of their authors, or an .npz.

An .npz holds x_train, y_train, x_test, y_test as uint8: images (N, 28, 28) or (N, 32, 32, 3), labels (N,).
Sources: LeCun et al., 1998; Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.data.cifar_binary import ARCHIVE, FOLDER, is_binary, read_binary
from workloads.data.dataset import Dataset, Normalise, ValidationFrom, make_dataset, resize, seeded_order
from workloads.data.idx import read_idx_folder
from workloads.npz import read_npz
from workloads.options import check_count

VALIDATION = 5000
FOLDER_VARIABLE = "HWMODEL_DATA"
#: Data set -> the names under which its files lie in a folder of data sets.
FILES = {"cifar10": ("cifar10.npz", ARCHIVE, FOLDER), "mnist": ("mnist.npz", "mnist")}
KEYS = ("x_train", "y_train", "x_test", "y_test")


def mnist(
    path: str | Path | None = None,
    seed: int = 0,
    size: int = 28,
    channels: int = 1,
    limit: int | None = None,
    normalize: Normalise = "train",
    validation: str = "train",
) -> Dataset:
    """MNIST: 55,000 train, 5,000 validation (drawn from the train part by the seed), 10,000 test.

    Args:
        path: of an .npz, or of the folder with the four IDX files (`train-images-idx3-ubyte`, ..., plain or .gz);
            None looks for `mnist.npz` or a folder `mnist` in the folder that HWMODEL_DATA names.
        seed: of the choice of the validation images.
        size: 28, larger to surround the images with background (32 for LeNet-5), smaller to shrink them.
        channels: 3 repeats the grey channel.
        limit: keep so many train images; None keeps all.
        normalize: see `make_dataset`.
        validation: `test` cuts the 5,000 from the test files instead: 60,000 train, 5,000 test. For weights that
            were trained on all training images.

    Raises:
        ConfigError: no file, or not one of this form.
    """
    what = "data 'mnist'"
    found = _find(what, FILES["mnist"], path)
    arrays = checked(what, found, read_idx_folder(found) if found.is_dir() else read_npz(found, KEYS), (28, 28))
    check_count(what, "size", size)
    check_count(what, "channels", channels)
    images = [_fit(torch.from_numpy(arrays[key]).unsqueeze(1), size) for key in ("x_train", "x_test")]
    return _with_validation("mnist", images, arrays, seed, limit, channels, normalize, validation)


def cifar10(
    path: str | Path | None = None,
    seed: int = 0,
    limit: int | None = None,
    normalize: Normalise = "train",
    validation: str = "train",
) -> Dataset:
    """CIFAR-10: 45,000 train, 5,000 validation (drawn from the train part by the seed), 10,000 test.

    Args:
        path: of an .npz, of `cifar-10-binary.tar.gz`, or of the folder that it unpacks to; None looks for
            `cifar10.npz` and for those two in the folder that HWMODEL_DATA names.
        seed: of the choice of the validation images.
        limit: keep so many train images; None keeps all.
        normalize: see `make_dataset`; the published weights of CIFAR ResNets expect `imagenet`.
        validation: `test` cuts the 5,000 from the test files instead: 50,000 train, 5,000 test. For weights that
            were trained on all training images.

    Raises:
        ConfigError: no file, or not one of this form.
    """
    what = "data 'cifar10'"
    found = _find(what, FILES["cifar10"], path)
    arrays = checked(what, found, read_binary(found) if is_binary(found) else read_npz(found, KEYS), (32, 32, 3))
    images = [torch.from_numpy(arrays[key]).permute(0, 3, 1, 2) for key in ("x_train", "x_test")]
    return _with_validation("cifar10", images, arrays, seed, limit, None, normalize, validation)


def checked(
    what: str, source: Path, arrays: dict[str, np.ndarray], image_shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """The four arrays of a file, if shapes and types are right.

    Raises:
        ConfigError: they are not.
    """
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != image_shape or len(x) == 0:
            raise ConfigError(
                f"{what}: {source}: x_{part} must be uint8 (N, {', '.join(map(str, image_shape))}), "
                f"but is {x.dtype} {x.shape}"
            )
        if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
            raise ConfigError(
                f"{what}: {source}: y_{part} must be integers ({len(x)},), but is {y.dtype} {y.shape}"
            )
        if y.min() < 0 or y.max() > 9:
            raise ConfigError(f"{what}: {source}: labels must be 0..9, but y_{part} has {y.min()}..{y.max()}")
    return arrays


def _find(what: str, names: Sequence[str], path: str | Path | None) -> Path:
    """The path given, or the first of the names that the folder of data sets holds."""
    folder = os.environ.get(FOLDER_VARIABLE)
    form = f"Provide an .npz with {', '.join(KEYS)} (uint8), or the authors' files"
    if path is not None:
        if not Path(path).exists():
            raise ConfigError(f"{what}: no file {path}. {form}.")
        return Path(path)
    if not folder:
        raise ConfigError(
            f"{what} needs a file: give path=FILE, or set {FOLDER_VARIABLE} to a folder that holds one of "
            f"{', '.join(names)}."
        )
    for name in names:
        if (Path(folder) / name).exists():
            return Path(folder) / name
    raise ConfigError(
        f"{what}: no file {' or '.join(names)} in {folder} ({FOLDER_VARIABLE}). {form}, or give path=."
    )


def _fit(images: Tensor, size: int) -> Tensor:
    """(N, 1, 28, 28) -> (N, 1, size, size): padded with background where larger, shrunk where smaller."""
    extra = size - images.shape[-1]
    if extra >= 0:
        before = extra // 2
        return nn.functional.pad(images, (before, extra - before, before, extra - before))
    return resize(images.float(), size)


def _with_validation(
    name: str,
    images: list[Tensor],
    arrays: dict[str, np.ndarray],
    seed: int,
    limit: int | None,
    channels: int | None,
    normalize: Normalise,
    validation: str,
) -> Dataset:
    what = f"data {name!r}"
    if validation not in ("train", "test"):
        raise ConfigError(f"{what}: validation must be train or test, but got validation={validation!r}")
    labels = [torch.from_numpy(arrays[key].astype(np.int64)) for key in ("y_train", "y_test")]
    source = int(validation == "test")
    count = len(labels[source])
    if count <= VALIDATION:
        raise ConfigError(f"{what}: x_{validation} must hold more than {VALIDATION} images, but holds {count}")
    orders = [seeded_order(len(y), check_count(what, "seed", seed, least=0)) for y in labels]
    chosen = orders[source][:VALIDATION]
    rest = [order[VALIDATION:] if part == source else order for part, order in enumerate(orders)]
    if not source:
        rest[1] = torch.arange(len(labels[1]))
    if limit is not None:
        rest[0] = rest[0][: check_count(what, "limit", limit)]
    train, held_out, test = (
        (images[part][index].float() / 255.0, labels[part][index])
        for part, index in ((0, rest[0]), (source, chosen), (1, rest[1]))
    )
    origin: ValidationFrom = "test" if source else "train"
    return make_dataset(name, (train, held_out, test), 10, "", channels, normalize, origin)
