"""Append-only files of one JSON object per line that survive a crash at any byte, and show every later change.

A line counts once its newline is on disk. What follows the last newline was being written when the
process died: readers ignore it, the next writer cuts it off. Every line is sealed (`search.guard.seal`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError
from hwmodel.files import sync_folder
from search.guard.seal import HASH, seal, unseal

#: The way out of a damaged file that nothing else says.
RESTORE = "Restore the file."


def read_lines(path: Path, fix: str = RESTORE, *, sealed: bool = False) -> list[dict[str, Any]]:
    """The objects of a file, in order, without their hashes; none where there is no file.

    Args:
        path: the file.
        fix: the way out where it is damaged, a sentence.
        sealed: every line must carry a hash; else those before the first one that has it need none.

    Raises:
        ConfigError: a whole line is not a JSON object, was changed, or lacks the hash that it must carry.
    """
    return parse_lines(path.read_bytes() if path.exists() else b"", path, fix, sealed=sealed)


def parse_lines(content: bytes, path: Path, fix: str = RESTORE, *, sealed: bool = False) -> list[dict[str, Any]]:
    """As `read_lines`, from the bytes of the file.

    Raises:
        ConfigError: as there.
    """
    found: list[dict[str, Any]] = []
    is_sealed = sealed
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        item, has_hash = parse_line(line, f"{path}:{number}", fix)
        if is_sealed and not has_hash:
            raise ConfigError(f"{path}:{number} must carry a hash, as every line that is written does. {fix}")
        is_sealed = has_hash
        found.append(item)
    return found


def count_bare(path: Path) -> int:
    """Lines without a hash, which an earlier version wrote: a changed number in them cannot be noticed."""
    return sum(HASH not in json.loads(line) for line in _whole_lines(path))


def parse_line(line: str | bytes, place: str, fix: str = RESTORE) -> tuple[dict[str, Any], bool]:
    """The object of one line, and whether it carried a hash.

    Raises:
        ConfigError: it is not a JSON object, or was changed.
    """
    try:
        item = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place} is not JSON: {error}. {fix}") from error
    if not isinstance(item, dict):
        raise ConfigError(f"{place} must be a JSON object, but is {type(item).__name__}. {fix}")
    return unseal(item, place, fix)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


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


def to_line(item: Mapping[str, Any]) -> str:
    """The object as its line, sealed; without the newline."""
    return json.dumps(seal(item), allow_nan=False)


def append_line(path: Path, item: Mapping[str, Any]) -> None:
    """Make one object durable: written and synced when this returns.

    Raises:
        OSError: it cannot be written (a full disk); the file is as it was before.
    """
    data = f"{to_line(item)}\n".encode()
    with path.open("ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            _write_all(file, data)
            os.fsync(file.fileno())
            if not start:  # the name is new, too
                sync_folder(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(start)
            raise


def _write_all(file: FileIO, data: bytes) -> None:
    """A raw file may take a part only, as the last one before the disk is full."""
    while data:
        data = data[file.write(data) :]
