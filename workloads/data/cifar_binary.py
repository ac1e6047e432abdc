"""The binary files of CIFAR-10 as its authors publish them: the archive, or the folder that it unpacks to.

A record is one byte of label and 3,072 of pixels (red, green, blue planes of 32x32, row by row); a batch has
10,000.

Source: Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html (layout, file names and MD5 of the archive).
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hwmodel.errors import ConfigError

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
BATCH = 10_000
PIXELS = 3 * 32 * 32
CLASSES = 10
_FILES = {"train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "test": ("test_batch.bin",)}


def is_binary(path: Path) -> bool:
    """Whether a path is the archive or a folder of batches."""
    return path.name.endswith(".tar.gz") or (path.is_dir() and _home(path) is not None)


def read_binary(path: Path) -> dict[str, np.ndarray]:
    """x_train (50000, 32, 32, 3), y_train, x_test (10000, 32, 32, 3), y_test: all uint8.

    The archive is checked by its MD5. An unpacked batch is checked by what is published about it: its length, and
    equally many images of every class in the five training batches together and in the test batch.

    Args:
        path: `cifar-10-binary.tar.gz`, the folder `cifar-10-batches-bin`, or the folder that holds it.

    Raises:
        ConfigError: a file is missing, cut short or not this data set.
    """
    read = _from_archive(path) if path.is_file() else _from_folder(path)
    arrays: dict[str, np.ndarray] = {}
    for part, names in _FILES.items():
        records = np.concatenate([_records(path, name, read(name)) for name in names])
        labels = records[:, 0]
        if labels.max() >= CLASSES or len(set(np.bincount(labels, minlength=CLASSES).tolist())) != 1:
            raise ConfigError(
                f"{path}: the {part} batches must hold equally many images of each of {CLASSES} classes, but hold "
                f"{np.bincount(labels).tolist()}: not CIFAR-10."
            )
        arrays[f"x_{part}"] = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        arrays[f"y_{part}"] = labels
    return arrays


def _records(path: Path, name: str, content: bytes) -> np.ndarray:
    expected = BATCH * (1 + PIXELS)
    if len(content) != expected:
        raise ConfigError(f"{path}: {name} must have {expected:,} bytes, but has {len(content):,}. Fetch it again.")
    return np.frombuffer(content, np.uint8).reshape(BATCH, 1 + PIXELS)


def _home(path: Path) -> Path | None:
    """The folder with the batches: this one, or the one that the archive unpacks to."""
    return next((home for home in (path, path / FOLDER) if (home / _FILES["test"][0]).is_file()), None)


def _from_folder(path: Path) -> Callable[[str], bytes]:
    home = _home(path) or path

    def read(name: str) -> bytes:
        try:
            return (home / name).read_bytes()
        except OSError as error:
            raise ConfigError(f"{home}: cannot read {name}: {error.strerror}.") from None

    return read


def _from_archive(path: Path) -> Callable[[str], bytes]:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != ARCHIVE_MD5:
        raise ConfigError(
            f"{path}: the MD5 of {ARCHIVE} is {ARCHIVE_MD5}, but this file's is {found}. Fetch it again."
        )

    def read(name: str) -> bytes:
        with tarfile.open(path) as archive:
            member = archive.extractfile(f"{FOLDER}/{name}")
            if member is None:
                raise ConfigError(f"{path}: has no {FOLDER}/{name}")
            return member.read()

    return read
