"""What two specifications differ in: only the keys that differ, by their dotted names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwmodel.chip.yamlfile import read_yaml
from search.guard.manifest import read_manifest
from search.spec import SearchSpec

#: Of a specification, what is no choice: its name, who wrote it, and where copies go.
_NO_CHOICE = ("name", "provenance", "mirror")
#: Of a manifest, what the specification does not say in full: the files behind the names, and what became of them.
_MADE_WITH = ("graph", "accelerator", "sampler", "fuse", "width")
#: Stands where a run has no such key.
ABSENT = "–"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A key in which runs differ.

    Attributes:
        key: dotted, as in the search file: `space.w_bits`.
        values: as text, one per run.
    """

    key: str
    values: tuple[str, ...]


def differences(folders: Sequence[Path]) -> list[Difference]:
    """The keys in which the specifications of runs differ, and what they were made with where that differs too.

    Runs of `hwmodel search` are compared by their whole search file; where one was made by a script, all by
    `study.json`, which says less.
    """
    records = [made_with(folder) for folder in folders]
    specs = [specification(folder) for folder in folders]
    flat = [
        _flat(spec) | _flat({key: record[key] for key in _MADE_WITH if key in record})
        for spec, record in zip(specs, records, strict=True)
        if spec is not None
    ]
    if len(flat) < len(folders):
        flat = [_flat({key: record[key] for key in record if key != "name"}) for record in records]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    found = [Difference(key=key, values=tuple(one.get(key, ABSENT) for one in flat)) for key in keys]
    return [item for item in found if len(set(item.values)) > 1]


def specification(folder: Path) -> dict[str, Any] | None:
    """The search file of a run, defaults filled in; None where a script made it."""
    path = folder / "config.yaml"
    if not path.exists():
        return None
    data = read_yaml(path, SearchSpec).model_dump()
    return {key: value for key, value in data.items() if key not in _NO_CHOICE}


def made_with(folder: Path) -> dict[str, Any]:
    """What `study.json` says of a run; nothing where it has none."""
    return {key: value for key, value in (read_manifest(folder) or {}).items() if key != "schema"}


def _flat(record: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Dotted key -> value as text; an empty mapping is a value."""
    found: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return found
