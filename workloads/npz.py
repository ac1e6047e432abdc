"""Arrays from .npz files, never pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hwmodel.errors import ConfigError


def read_npz(path: str | Path, keys: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    Args:
        path: the file.
        keys: those that it must hold, and that are read; None reads all.

    Raises:
        ConfigError: the file is absent, truncated, not .npz, holds pickled objects, or lacks a key.
    """
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file):  # refuses anything that is no archive
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                missing = [key for key in keys or () if key not in stored]
                arrays = {} if missing else {key: np.asarray(stored[key]) for key in keys or stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as .npz: {error}") from error
    if missing:
        raise ConfigError(f"{path}: has no {', '.join(missing)}. It must hold {', '.join(keys or ())}.")
    return arrays
