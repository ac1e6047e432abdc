"""MNIST and CIFAR-10 from .npz files that the user provides.

Both hold x_train, y_train, x_test, y_test as uint8: images (N, 28, 28) or (N, 32, 32, 3), labels (N,).
Sources: LeCun et al., 1998; Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.data.dataset import Dataset, make_dataset, resize, seeded_order
from workloads.npz import read_npz
from workloads.options import check_count

VALIDATION = 5000
FOLDER_VARIABLE = "HWMODEL_DATA"
_KEYS = ("x_train", "y_train", "x_test", "y_test")


def mnist(
    path: str | Path | None = None,
    seed: int = 0,
    size: int = 28,
    channels: int = 1,
    limit: int | None = None,
) -> Dataset:
    """MNIST: 55,000 train, 5,000 validation (drawn from the train part by the seed), 10,000 test.

    Args:
        path: of the .npz; None looks for `mnist.npz` in the folder that HWMODEL_DATA names.
        seed: of the choice of the validation images.
        size: 28, larger to surround the images with background (32 for LeNet-5), smaller to shrink them.
        channels: 3 repeats the grey channel.
        limit: keep so many train images; None keeps all.

    Raises:
        ConfigError: no file, or not one of this form.
    """
    what = "data 'mnist'"
    arrays = read_arrays(what, "mnist.npz", path, (28, 28))
    check_count(what, "size", size)
    check_count(what, "channels", channels)
    images = [_fit(torch.from_numpy(arrays[key]).unsqueeze(1), size) for key in ("x_train", "x_test")]
    return _with_validation("mnist", images, arrays, seed, limit, channels)


def cifar10(path: str | Path | None = None, seed: int = 0, limit: int | None = None) -> Dataset:
    """CIFAR-10: 45,000 train, 5,000 validation (drawn from the train part by the seed), 10,000 test.

    Args:
        path: of the .npz; None looks for `cifar10.npz` in the folder that HWMODEL_DATA names.
        seed: of the choice of the validation images.
        limit: keep so many train images; None keeps all.

    Raises:
        ConfigError: no file, or not one of this form.
    """
    arrays = read_arrays("data 'cifar10'", "cifar10.npz", path, (32, 32, 3))
    images = [torch.from_numpy(arrays[key]).permute(0, 3, 1, 2) for key in ("x_train", "x_test")]
    return _with_validation("cifar10", images, arrays, seed, limit, None)


def read_arrays(
    what: str, file_name: str, path: str | Path | None, image_shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """The four arrays of a file, checked.

    Raises:
        ConfigError: no file there, unreadable, an array is missing, or a shape or type is wrong.
    """
    found = _find(what, file_name, path)
    arrays = read_npz(found, _KEYS)
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != image_shape or len(x) == 0:
            raise ConfigError(
                f"{what}: {found}: x_{part} must be uint8 (N, {', '.join(map(str, image_shape))}), "
                f"but is {x.dtype} {x.shape}"
            )
        if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
            raise ConfigError(f"{what}: {found}: y_{part} must be integers ({len(x)},), but is {y.dtype} {y.shape}")
        if y.min() < 0 or y.max() > 9:
            raise ConfigError(f"{what}: {found}: labels must be 0..9, but y_{part} has {y.min()}..{y.max()}")
    return arrays


def _find(what: str, file_name: str, path: str | Path | None) -> Path:
    folder = os.environ.get(FOLDER_VARIABLE)
    if path is None and not folder:
        raise ConfigError(
            f"{what} needs a file: give path=FILE.npz, or set {FOLDER_VARIABLE} to a folder that holds {file_name} "
            f"(arrays {', '.join(_KEYS)}, uint8)."
        )
    found = Path(path) if path is not None else Path(str(folder)) / file_name
    if not found.is_file():
        hint = "" if path is not None else f" ({FOLDER_VARIABLE} is {folder})"
        raise ConfigError(
            f"{what}: no file {found}{hint}. Provide an .npz with {', '.join(_KEYS)} (uint8), or give path=."
        )
    return found


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
) -> Dataset:
    what = f"data {name!r}"
    labels, test_labels = (torch.from_numpy(arrays[key].astype(np.int64)) for key in ("y_train", "y_test"))
    count = len(labels)
    if count <= VALIDATION:
        raise ConfigError(f"{what}: x_train must hold more than {VALIDATION} images, but holds {count}")
    order = seeded_order(count, check_count(what, "seed", seed, least=0))
    validation, train = order[:VALIDATION], order[VALIDATION:]
    if limit is not None:
        train = train[: check_count(what, "limit", limit)]
    splits = tuple((images[0][index].float(), labels[index]) for index in (train, validation))
    return make_dataset(name, (splits[0], splits[1], (images[1].float(), test_labels)), 10, "", channels)
