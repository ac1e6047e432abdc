"""What guards the records of a run: a hash over their content, and where their paths may lead.

A sealed record holds `hash` beside its fields. Times are left out of it: the same results have the same hashes. It
notices damage and edits by hand, not a forger, who can compute it too; the fields are checked as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError

HASH = "hash"
#: Measured times, which differ from run to run.
TIMES = frozenset({"wall_s"})
_DIGITS = 16


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record and its hash."""
    return {**record, HASH: _hash(record)}


def unseal(record: Mapping[str, Any], place: str, fix: str) -> tuple[dict[str, Any], bool]:
    """The record without its hash, and whether it had one: those of earlier versions have none.

    Args:
        record: as read.
        place: for messages.
        fix: the way out, a sentence.

    Raises:
        ConfigError: the content is not what was written.
    """
    bare = {key: value for key, value in record.items() if key != HASH}
    if HASH not in record:
        return bare, False
    if record[HASH] != _hash(bare):
        raise ConfigError(f"{place}: its content must have the hash {record[HASH]!r}, but was changed. {fix}")
    return bare, True


def inside(folder: Path, name: str) -> Path:
    """The file of that name in a run folder.

    Args:
        folder: of the run.
        name: relative to it, as a file of the run says.

    Raises:
        ConfigError: the path leads out of the folder, by itself or by a link.
    """
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{folder}: {name!r} must lie in the folder of the run, but leads to {path.resolve()}.")
    return path


def _hash(record: Mapping[str, Any]) -> str:
    content = {key: value for key, value in record.items() if key not in TIMES}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    if any(f'"{name}":' in text for name in TIMES):
        text = json.dumps(_timeless(content), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _timeless(value: Any) -> Any:
    """The value without the times that it holds."""
    if isinstance(value, Mapping):
        return {key: _timeless(item) for key, item in value.items() if key not in TIMES}
    if isinstance(value, (list, tuple)):
        return [_timeless(item) for item in value]
    return value
