"""MNIST's own files: the IDX format, as it is or gzipped.

Two zero bytes, a type code (8 is unsigned bytes), the number of dims, each dim as a big-endian 32-bit integer, then
the values row by row. Data sets that come in the same files (Fashion-MNIST, KMNIST) are read as well.

Source: LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist (format and file names).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from hwmodel.errors import ConfigError

_UNSIGNED_BYTE = 8
_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read_idx_folder(path: Path) -> dict[str, np.ndarray]:
    """x_train (N, 28, 28), y_train (N,), x_test, y_test: uint8, from the four files of a folder.

    Args:
        path: the folder; each file plain or with `.gz`.

    Raises:
        ConfigError: a file is missing, cut short or of another format.
    """
    return {key: read_idx(_find(path, name)) for key, name in _FILES.items()}


def _find(folder: Path, name: str) -> Path:
    for found in (folder / name, folder / f"{name}.gz"):
        if found.is_file():
            return found
    raise ConfigError(f"{folder}: has no {name} or {name}.gz. It must hold {', '.join(_FILES.values())}.")


def read_idx(path: Path) -> np.ndarray:
    """The array of one file, uint8.

    Raises:
        ConfigError: it cannot be read, or is not a whole IDX file of unsigned bytes.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise ConfigError(f"{path}: must be an IDX file of unsigned bytes, but begins with {content[:4].hex(' ')}.")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise ConfigError(f"{path}: is cut short: {len(content)} bytes, its header alone has {header}.")
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    if len(content) != header + math.prod(shape):
        raise ConfigError(
            f"{path}: must have {header + math.prod(shape):,} bytes for {shape}, but has {len(content):,}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
