"""The designs of a chip file with ranges (`hwmodel.chip.sweep.space`), all of them as a list.

Combinations that no chip can be (a buffer too small for its operands) are left out and counted; a value that no
combination can have is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from hwmodel.chip.area import chip_area
from hwmodel.chip.loader import SWEEP, chip_path
from hwmodel.chip.sweep.space import Design, DesignSpace, Ranges
from hwmodel.chip.yamlfile import read_document
from hwmodel.errors import AcceleratorError

__all__ = ["MAX_DESIGNS", "Design", "Designs", "has_ranges", "load_designs"]

MAX_DESIGNS = 100_000


@dataclass(frozen=True, kw_only=True)
class Designs(Sequence[Design]):
    """All designs of a chip file, in the order of its ranges, the last changing fastest.

    Attributes:
        name: of the chip.
        path: of the file.
        designs: at least one.
        paths: that are swept; () in a file without ranges.
        notes: what a reader of costs must know: combinations left out, typed-in numbers that do not follow.
    """

    name: str
    path: Path
    designs: tuple[Design, ...]
    paths: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.designs)

    def __iter__(self) -> Iterator[Design]:
        return iter(self.designs)

    def __getitem__(self, index: Any) -> Any:
        return self.designs[index]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of everything that enters a cost."""
        text = " ".join(design.accelerator.fingerprint for design in self.designs)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def area_unknown(self) -> tuple[str, ...]:
        """Parts of some design whose area is not stated."""
        parts = (part for design in self for part in chip_area(design.accelerator).unknown)
        return tuple(dict.fromkeys(parts))

    @cached_property
    def has_area(self) -> bool:
        """The area of every design is known."""
        return all(design.area_mm2 is not None for design in self.designs)


def load_designs(name: str | Path, ranges: Ranges | None = None) -> Designs:
    """Every design of a chip file; one without ranges is its only design.

    Args:
        name: as for `hwmodel.load_accelerator`.
        ranges: beside those of the file, in the form of its `sweep`.

    Raises:
        AcceleratorError: as `hwmodel.load_accelerator`, for the file or a design of it; a range is none, or names
            no place of the file.
    """
    path = chip_path(name)
    return _listed(DesignSpace(path, ranges)) if ranges else _load(path, path.stat().st_mtime)


def has_ranges(name: str | Path) -> bool:
    """The file is many designs.

    Raises:
        AcceleratorError: there is no such file, or it is no YAML.
    """
    path = chip_path(name)
    return _has_ranges(path, path.stat().st_mtime)


@cache
def _has_ranges(path: Path, _modified: float) -> bool:
    return SWEEP in read_document(path, AcceleratorError).data


@cache
def _load(path: Path, _modified: float) -> Designs:
    return _listed(DesignSpace(path))


def _listed(space: DesignSpace) -> Designs:
    """All designs of a space."""
    if space.size > MAX_DESIGNS:
        place = f"{space.document.at((SWEEP,))} {SWEEP}" if space.ranges is None else space.place
        raise AcceleratorError(f"{place}: `designs <= {MAX_DESIGNS:,}` must hold, but there are {space.size:,}")
    found: list[Design] = []
    failed: list[tuple[tuple[int, ...], AcceleratorError]] = []
    used: set[tuple[int, int]] = set()
    for number in range(space.size):
        turn = space.turn(number)
        try:
            design = space.design(number)
        except AcceleratorError as error:
            failed.append((turn, error))
            continue
        used |= set(enumerate(turn))
        found.append(replace(design, number=len(found)))
    for turn, reason in failed:
        if not found or not set(enumerate(turn)) <= used:  # a value that no design can have
            raise reason
    left_out = (
        [f"{len(failed)} of {space.size} combinations can be no chip and are left out; the first: {failed[0][1]}"]
        if failed
        else []
    )
    return Designs(
        name=found[0].accelerator.name,
        path=space.path,
        designs=tuple(found),
        paths=space.paths,
        notes=(*left_out, *space.notes),
    )
