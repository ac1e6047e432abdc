"""What names and options do not say about a run: the code of the user's files, and the data, as hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from workloads.data import Split
from workloads.training.inputs import DataLike

_DIGITS = 16
#: Of a stream: reading all of it to know it would cost an epoch.
STREAM = "a stream"


def file_hash(path: str | Path) -> str:
    """16 hex digits of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]


def place_hash(path: Path) -> str:
    """16 hex digits of a file's bytes, or of the names and bytes of all files in a folder."""
    if path.is_file():
        return file_hash(path)
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path)} {file_hash(file)}\n".encode())
    return digest.hexdigest()[:_DIGITS]


def code_hash(name: str) -> str:
    """Of the file of `FILE.py:function`; "" for other names. Modules that it imports are not covered."""
    path, separator, _ = name.rpartition(":")
    return file_hash(path) if separator and path.endswith(".py") else ""


def data_hash(data: DataLike) -> dict[str, str]:
    """Split -> 16 hex digits of its arrays; `STREAM` for a loader."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: _split_hash(split) for name, split in splits.items()}


def _split_hash(split: Any) -> str:
    if not isinstance(split, Split):
        return STREAM
    digest = hashlib.sha256()
    for values in (split.x, split.y):
        digest.update(f"{values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:_DIGITS]
