"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError, did_you_mean
from workloads.data.arrays import cifar10, mnist
from workloads.data.dataset import Dataset
from workloads.data.digits import digits
from workloads.data.folder import image_folder
from workloads.data.npz_file import npz
from workloads.data.synthetic import synthetic
from workloads.data.text import text
from workloads.data.user import from_function
from workloads.options import call_with_options

_DATA: dict[str, Callable[..., Dataset]] = {
    "cifar10": cifar10,
    "digits": digits,
    "folder": image_folder,
    "mnist": mnist,
    "npz": npz,
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
            `folder` (images, a folder per class), `npz` (anyone's arrays), `text` (the bytes of a file). Or a
            place: FILE.npz, a FOLDER of images, or FILE.py:function, which returns a `Dataset` or (train,
            validation, test), each a pair (x, y) or a DataLoader.
        options: of that data set: `seed`, and `size`, `channels`, `path`, `limit`, ... where it has them.

    Raises:
        ConfigError: unknown name or option (with the nearest one), a value out of range, or a file
            that is absent or not of the right form.

    Example:
        >>> load_data("digits", size=32).describe()
        'digits (scikit-learn digits, 8×8 scans): 1×32×32, 10 classes, 1,077 train / 360 validation / 360 test'
    """
    if name not in _DATA:
        return _placed(name, options)
    return call_with_options(f"Data {name!r}", _DATA[name], options)


def _placed(name: str, options: dict[str, Any]) -> Dataset:
    """The data set of a file, a folder or a function."""
    if ".py:" in name:
        return from_function(name, options)
    if name.endswith(".py"):
        raise ConfigError(f"{name}: which function makes the data set? Write {name}:FUNCTION.")
    if name.endswith(".npz"):
        return call_with_options(f"Data {name!r}", npz, {"path": name, **options})
    if Path(name).is_dir():
        return call_with_options(f"Data {name!r}", image_folder, {"path": name, **options})
    raise ConfigError(
        f"No data {name!r}.{did_you_mean(name, _DATA)} Known: {', '.join(data_names())}; or FILE.npz, a folder of "
        "images, or FILE.py:FUNCTION."
    )
