"""Mappings on disk, by the content of what they were found for: a layer is mapped once per machine.

The folder is `$HWMODEL_CACHE`, else `$XDG_CACHE_HOME/hwmodel`, else `~/.cache/hwmodel`; `HWMODEL_CACHE=off`
switches the cache off. An entry that cannot be read, or does not fit, is found anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import astuple
from pathlib import Path
from typing import Any

from hwmodel.errors import MappingError
from hwmodel.files import write_atomic
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Task

#: Raise it when the mapper's space or objective changes: older entries are then left alone.
FORMAT = 8


def cache_folder() -> Path | None:
    """Where mappings are kept; None when the cache is off."""
    named = os.environ.get("HWMODEL_CACHE")
    if named is not None:
        return None if named.strip().lower() in ("", "0", "off") else Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hwmodel"


def _path(task: Task, optimize: str) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    text = json.dumps([FORMAT, *task.identity, optimize], default=astuple)
    name = hashlib.sha256(text.encode()).hexdigest()
    return folder / "mappings" / name[:2] / f"{name[2:34]}.json"


def load_mapping(task: Task, optimize: str) -> Mapping | None:
    """The mapping found before for the same content, None where there is none that fits."""
    path = _path(task, optimize)
    if path is None:
        return None
    try:
        mapping = _decode(json.loads(path.read_text(encoding="utf-8")))
        check_mapping(task, mapping)
    except (OSError, ValueError, KeyError, TypeError, MappingError):
        return None
    return mapping


def store_mapping(task: Task, optimize: str, mapping: Mapping) -> None:
    """Keep a mapping; whole or not at all, and silently not at all where the folder cannot be written."""
    path = _path(task, optimize)
    if path is None:
        return
    try:
        write_atomic(path, json.dumps(_encode(mapping)), durable=False)
    except OSError:
        return


def _encode(mapping: Mapping) -> list[dict[str, Any]]:
    return [
        {
            "name": level.name,
            "temporal": [[loop.dim, loop.bound] for loop in level.temporal],
            "spatial": [[loop.dim, loop.bound, loop.axis] for loop in level.spatial],
            "keeps": list(level.keeps),
            **({"inward": [list(moved) for moved in level.inward]} if level.inward else {}),
        }
        for level in mapping.levels
    ]


def _decode(data: list[dict[str, Any]]) -> Mapping:
    return Mapping(
        levels=tuple(
            LevelMapping(
                name=level["name"],
                temporal=tuple(Loop(dim, bound) for dim, bound in level["temporal"]),
                spatial=tuple(Loop(dim, bound, axis) for dim, bound, axis in level["spatial"]),
                keeps=tuple(level["keeps"]),
                inward=tuple((operand, loops) for operand, loops in level.get("inward", ())),
            )
            for level in data
        )
    )
