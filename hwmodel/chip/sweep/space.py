"""The space of designs that the ranges of a chip file span, made one at a time: it may be larger than any list.

The section `sweep` maps paths to values, a list or a range, each free of the others; in a list of such mappings the
paths of one mapping change together:

    sweep:
      - array.X.size: [8, 16, 32]
      - memories.sram.size: 64 KiB..256 KiB*2
        memories.sram.read_energy: [0.43 pJ/bit, 0.6 pJ/bit, 0.82 pJ/bit]

A path names sections by their key and entries of lists by their `name` (`axis` in `array`). Further ranges may be
given beside the file, in the same form (`set` of `hwmodel explore`). A combination is checked as a file of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.area import chip_area
from hwmodel.chip.building import build_chip
from hwmodel.chip.chipfile import ChipFile
from hwmodel.chip.loader import SWEEP, chip_path
from hwmodel.chip.sweep.paths import located, substituted, typed_in
from hwmodel.chip.sweep.ranges import values_of
from hwmodel.chip.yamlfile import Document, Location, dump_yaml, read_document
from hwmodel.chip.yamllimits import cut
from hwmodel.errors import AcceleratorError

#: Ranges as a file has them in `sweep`.
Ranges = Mapping[str, Any] | Sequence[Mapping[str, Any]]


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
        return named(self.values) or self.accelerator.name

    @cached_property
    def area_mm2(self) -> float | None:
        """Of the whole chip [mm^2]; None where the area of a part is not stated."""
        area = chip_area(self.accelerator)
        return None if area.unknown else area.known_mm2

    def to_yaml(self) -> str:
        """The chip file of this design alone."""
        return dump_yaml(substituted(self._base, self._places, self.values), header=named(self.values))


class DesignSpace:
    """Every combination of the values of some ranges, the last range changing fastest.

    Args:
        name: of a preset, or a chip file, with ranges or without.
        ranges: further ones, as the file may have them.
        place: of `ranges`, for messages.

    Attributes:
        path: of the file.
        ranges, place: as given.
        groups: of each range the values of its paths, which change together.
        notes: what a reader of costs must know: typed-in numbers that do not follow.

    Raises:
        AcceleratorError: there is no such file, a range is none, or names no place of the file.
    """

    def __init__(self, name: str | Path, ranges: Ranges | None = None, *, place: str = "set") -> None:
        self.path, self.ranges, self.place = chip_path(name), ranges, place
        self.document: Document = read_document(self.path, AcceleratorError)
        self._base = {key: value for key, value in self.document.data.items() if key != SWEEP}
        self._places: dict[str, Location] = {}
        self._stated: dict[Location, Location] = {}
        section = f"{self.document.at((SWEEP,))} {SWEEP}"
        in_file = self._entries(self.document.data[SWEEP], section) if SWEEP in self.document.data else []
        groups = [self._group(entry, section, where) for entry, where in in_file]
        for entry, _ in self._entries(ranges, place) if ranges else []:
            groups.append(self._group(entry, place, None))
        self.groups = tuple(groups)
        self.notes = tuple(typed_in(self._base, self.groups))

    @property
    def paths(self) -> tuple[str, ...]:
        """Those that are swept."""
        return tuple(self._places)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Values of each range."""
        return tuple(len(next(iter(group.values()))) for group in self.groups)

    @cached_property
    def size(self) -> int:
        """Combinations."""
        return math.prod(self.sizes)

    def turn(self, number: int) -> tuple[int, ...]:
        """The position of a combination's value in every range."""
        found = []
        for size in reversed(self.sizes):
            number, at = divmod(number, size)
            found.append(at)
        return tuple(reversed(found))

    def number(self, turn: Sequence[int]) -> int:
        """The inverse of `turn`."""
        number = 0
        for at, size in zip(turn, self.sizes, strict=True):
            number = number * size + at
        return number

    def values(self, number: int) -> dict[str, Any]:
        """Path -> value of a combination."""
        pairs = zip(self.turn(number), self.groups, strict=True)
        return {path: options[at] for at, group in pairs for path, options in group.items()}

    def design(self, number: int) -> Design:
        """One combination.

        Raises:
            AcceleratorError: no chip can be so.
        """
        values = self.values(number)
        data = substituted(self._base, self._places, values)
        note = f" (design {named(values)})" if values else ""
        chip = self.document.validated(ChipFile, data, moved=self._stated, note=note)
        return Design(
            number=number,
            values=values,
            accelerator=build_chip(self.document, chip, note),
            _places=self._places,
            _base=self._base,
        )

    # ---- reading -------------------------------------------------------------------------------

    def _entries(self, section: Any, place: str) -> list[tuple[Mapping[str, Any], Location]]:
        """Mappings of paths that change together, each with its place in the file."""
        if isinstance(section, Mapping) and section:
            return [({path: value}, (SWEEP,)) for path, value in section.items()]
        if isinstance(section, list) and section and all(isinstance(item, Mapping) and item for item in section):
            return [(item, (SWEEP, index)) for index, item in enumerate(section)]
        raise AcceleratorError(
            f"{place}: must map paths to values, or be a list of such mappings, but got {cut(section)}"
        )

    def _group(self, entry: Mapping[str, Any], place: str, at: Location | None) -> dict[str, tuple[Any, ...]]:
        """The values of paths that change together; at: where they stand in the file, None elsewhere."""
        group: dict[str, tuple[Any, ...]] = {}
        for path, stated in entry.items():
            where = place if at is None else f"{self.document.at((*at, path))} {SWEEP}"
            try:
                location = located(self._base, path)
            except ValueError as error:
                raise AcceleratorError(f"{where}: {error}") from None
            for other, taken in self._places.items():
                short = min(len(taken), len(location))
                if taken[:short] == location[:short]:
                    raise AcceleratorError(
                        f"{where}: {path!r} is swept already, by {other!r}: leave one of the two out"
                    )
            try:
                group[path] = values_of(stated)
            except ValueError as error:
                raise AcceleratorError(f"{where}: {path}: {error}") from None
            self._places[path] = location
            self._stated[location] = location if at is None else (*at, path)
        lengths = {path: len(values) for path, values in group.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{path} has {length}" for path, length in lengths.items())
            where = place if at is None else f"{self.document.at(at)} {SWEEP}"
            raise AcceleratorError(f"{where}: paths that change together need as many values each, but {counts}")
        return group


def named(values: Mapping[str, Any]) -> str:
    """`array.X.size=8, memories.sram.size=64 KiB`."""
    return ", ".join(f"{path}={value}" for path, value in values.items())
