"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwmodel.errors import ConfigError, did_you_mean
from workloads.data.arrays import cifar10, mnist
from workloads.data.dataset import Dataset
from workloads.data.digits import digits
from workloads.data.folder import image_folder
from workloads.data.synthetic import synthetic
from workloads.data.text import text
from workloads.options import call_with_options

_DATA: dict[str, Callable[..., Dataset]] = {
    "cifar10": cifar10,
    "digits": digits,
    "folder": image_folder,
    "mnist": mnist,
    "synthetic": synthetic,
    "text": text,
}


def data_names() -> list[str]:
    """The registered names, sorted."""
    return sorted(_DATA)


def load_data(name: str, **options: Any) -> Dataset:
    """Load a data set into memory.

    Args:
        name: `digits` (embedded), `synthetic`, `mnist` or `cifar10` (from their authors' files or an .npz),
            `folder` (images, a folder per class), `text` (the bytes of a file).
        options: of that data set: `seed`, and `size`, `channels`, `path`, `limit`, ... where it has them.

    Raises:
        ConfigError: unknown name or option (with the nearest one), a value out of range, or a file
            that is absent or not of the right form.

    Example:
        >>> load_data("digits", size=32).describe()
        'digits (scikit-learn digits, 8×8 scans): 1×32×32, 10 classes, 1,077 train / 360 validation / 360 test'
    """
    if name not in _DATA:
        raise ConfigError(f"No data {name!r}.{did_you_mean(name, _DATA)} Known: {', '.join(data_names())}.")
    return call_with_options(f"Data {name!r}", _DATA[name], options)
