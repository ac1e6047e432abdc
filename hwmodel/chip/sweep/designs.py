"""Ranges in a chip file: every combination of their values is a chip, the file with those values in their places.

The section `sweep` maps paths to values, a list or a range, each free of the others; in a list of such mappings the
paths of one mapping change together:

    sweep:
      - array.X.size: [8, 16, 32]
      - memories.sram.size: 64 KiB..256 KiB*2
        memories.sram.read_energy: [0.43 pJ/bit, 0.6 pJ/bit, 0.82 pJ/bit]

A path names sections by their key and entries of lists by their `name` (`axis` in `array`). A combination is
checked as a file of its own. Those that no chip can be (a buffer too small for its operands) are left out and
counted; a value that no combination can have is an error.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.area import chip_area
from hwmodel.chip.chipfile import ChipFile
from hwmodel.chip.loader import SWEEP, build_chip, chip_path
from hwmodel.chip.sweep.paths import located, substituted, typed_in
from hwmodel.chip.sweep.ranges import values_of
from hwmodel.chip.yamlfile import Document, Location, dump_yaml, read_document
from hwmodel.chip.yamllimits import cut
from hwmodel.errors import AcceleratorError

MAX_DESIGNS = 100_000


@dataclass(frozen=True, kw_only=True)
class Design:
    """One combination.

    Attributes:
        number: position among the designs of its file, from 0.
        values: path -> value, in the order of the file; none in a file without ranges.
        accelerator: the chip.
    """

    number: int
    values: Mapping[str, Any]
    accelerator: Accelerator
    _places: Mapping[str, Location]
    _base: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`array.X.size=8, memories.sram.size=64 KiB`; the name of the chip where nothing is swept."""
        return _named(self.values) or self.accelerator.name

    @cached_property
    def area_mm2(self) -> float | None:
        """Of the whole chip [mm^2]; None where the area of a part is not stated."""
        area = chip_area(self.accelerator)
        return None if area.unknown else area.known_mm2

    def to_yaml(self) -> str:
        """The chip file of this design alone."""
        return dump_yaml(substituted(self._base, self._places, self.values), header=_named(self.values))


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


def load_designs(name: str | Path) -> Designs:
    """Every design of a chip file; one without ranges is its only design.

    Args:
        name: as for `hwmodel.load_accelerator`.

    Raises:
        AcceleratorError: as `hwmodel.load_accelerator`, for the file or a design of it; a range is none, or names
            no place of the file.
    """
    path = chip_path(name)
    return _load(path, path.stat().st_mtime)


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
    return _Sweep(read_document(path, AcceleratorError), path).designs()


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{path}={value}" for path, value in values.items())


class _Sweep:
    """The designs of one document."""

    def __init__(self, document: Document, path: Path) -> None:
        self.document, self.path = document, path
        self.base = {key: value for key, value in document.data.items() if key != SWEEP}
        self.places: dict[str, Location] = {}
        self.stated: dict[Location, Location] = {}
        self.groups = [self._group(entry, place) for entry, place in self._entries()]

    def designs(self) -> Designs:
        count = math.prod(len(next(iter(group.values()))) for group in self.groups)
        if count > MAX_DESIGNS:
            raise self._fail((SWEEP,), f"`designs <= {MAX_DESIGNS:,}` must hold, but there are {count:,}")
        found: list[Design] = []
        failed: list[tuple[tuple[int, ...], AcceleratorError]] = []
        used: set[tuple[int, int]] = set()
        for turn in itertools.product(*(range(len(next(iter(group.values())))) for group in self.groups)):
            values = {
                path: options[at]
                for at, group in zip(turn, self.groups, strict=True)
                for path, options in group.items()
            }
            try:
                chip = self._build(values)
            except AcceleratorError as error:
                failed.append((turn, error))
                continue
            used |= set(enumerate(turn))
            found.append(
                Design(number=len(found), values=values, accelerator=chip, _places=self.places, _base=self.base)
            )
        for turn, reason in failed:
            if not set(enumerate(turn)) <= used:  # a value that no design can have
                raise reason
        left_out = (
            [f"{len(failed)} of {count} combinations can be no chip and are left out; the first: {failed[0][1]}"]
            if failed
            else []
        )
        return Designs(
            name=found[0].accelerator.name,
            path=self.path,
            designs=tuple(found),
            paths=tuple(self.places),
            notes=(*left_out, *typed_in(self.base, self.groups)),
        )

    def _build(self, values: Mapping[str, Any]) -> Accelerator:
        data = substituted(self.base, self.places, values)
        note = f" (design {_named(values)})" if values else ""
        return build_chip(
            self.document, self.document.validated(ChipFile, data, moved=self.stated, note=note), note
        )

    def _fail(self, place: Location, message: str) -> AcceleratorError:
        return AcceleratorError(f"{self.document.at(place)} {SWEEP}: {message}")

    # ---- reading -------------------------------------------------------------------------------

    def _entries(self) -> list[tuple[Mapping[str, Any], Location]]:
        """Mappings of paths that change together, each with its place."""
        if SWEEP not in self.document.data:
            return []
        section = self.document.data[SWEEP]
        if isinstance(section, Mapping) and section:
            return [({path: value}, (SWEEP,)) for path, value in section.items()]
        if isinstance(section, list) and section and all(isinstance(item, Mapping) and item for item in section):
            return [(item, (SWEEP, index)) for index, item in enumerate(section)]
        raise self._fail(
            (SWEEP,), f"must map paths to values, or be a list of such mappings, but got {cut(section)}"
        )

    def _group(self, entry: Mapping[str, Any], place: Location) -> dict[str, tuple[Any, ...]]:
        group: dict[str, tuple[Any, ...]] = {}
        for path, stated in entry.items():
            where = (*place, path)
            try:
                location = located(self.base, path)
            except ValueError as error:
                raise self._fail(where, str(error)) from None
            for other, taken in self.places.items():
                short = min(len(taken), len(location))
                if taken[:short] == location[:short]:
                    raise self._fail(where, f"{path!r} is swept already, by {other!r}")
            try:
                group[path] = values_of(stated)
            except ValueError as error:
                raise self._fail(where, f"{path}: {error}") from None
            self.places[path], self.stated[location] = location, where
        lengths = {path: len(values) for path, values in group.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{path} has {length}" for path, length in lengths.items())
            raise self._fail(place, f"paths that change together need as many values each, but {counts}")
        return group
