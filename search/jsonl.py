"""Append-only files of one JSON object per line that survive a crash at any byte.

A line counts once its newline is on disk. What follows the last newline was being written when the
process died: readers ignore it, the next writer cuts it off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError
from hwmodel.files import sync_folder


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, in order; none where there is no file.

    Raises:
        ConfigError: a whole line is not a JSON object.
    """
    if not path.exists():
        return []
    found: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            item = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}:{number} is not JSON: {error}") from error
        if not isinstance(item, dict):
            raise ConfigError(f"{path}:{number} must be a JSON object, but is {type(item).__name__}.")
        found.append(item)
    return found


def cut_torn_line(path: Path) -> None:
    """Remove what follows the last newline."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())


def append_line(path: Path, item: Mapping[str, Any]) -> None:
    """Make one object durable: written and synced when this returns."""
    is_new = not path.exists()
    with path.open("ab") as file:
        file.write((json.dumps(item, allow_nan=False) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)
