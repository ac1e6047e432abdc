"""What tells two accelerators apart, number by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.writing import accelerator_data
from hwmodel.show.quantities import quantity

#: Keys that only tell people something; they enter no cost.
_SAID = ("name", "description", "source", "notes")
#: List of a chip file -> the key that names its entries.
_NAMED = {"array": "axis", "memories": "name", "formats": "name"}
#: Units that a size is a whole number of [bit], the largest first.
_SIZES = {"GB": 8e9, "MiB": 8 * 2**20, "KiB": 8 * 2**10, "B": 8}


@dataclass(frozen=True, kw_only=True)
class ChipDifference:
    """One number or word that differs.

    Attributes:
        path: as in a chip file, entries of lists by name: `memories.sram.size`.
        first, second: as written; None where that file says nothing of it.
        ratio: second / first, where both are numbers of one unit and the first is not 0.
    """

    path: str
    first: str | None
    second: str | None
    ratio: float | None


def chip_differences(first: Accelerator, second: Accelerator) -> tuple[ChipDifference, ...]:
    """All that enters a cost and differs; nothing where the two cost the same.

    Raises:
        AcceleratorError: one of them is none that a chip file can describe.
    """
    one, two = (dict(_flat(accelerator_data(chip, components=False))) for chip in (first, second))
    return tuple(
        ChipDifference(
            path=path, first=_shown(one.get(path)), second=_shown(two.get(path)),
            ratio=_ratio(one.get(path), two.get(path)),
        )
        for path in dict.fromkeys((*one, *two))
        if one.get(path) != two.get(path)
    )  # fmt: skip


def _flat(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    key = path.rpartition(".")[2]
    if isinstance(data, Mapping):
        for name, value in data.items():
            if name not in _SAID:
                yield from _flat(value, f"{path}.{name}" if path else name)
    elif key in _NAMED and data and isinstance(data[0], Mapping):
        names = _NAMED[key]
        for entry in data:
            yield f"{path}.{entry[names]}", "there"
            yield from _flat({k: v for k, v in entry.items() if k != names}, f"{path}.{entry[names]}")
    else:
        yield path, data


def _number(value: Any) -> tuple[float, str] | None:
    """The value of a number or of a quantity, and its unit."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value), ""
    head, _, unit = str(value).partition(" ")
    try:
        return float(head), unit
    except ValueError:
        return None


def _ratio(first: Any, second: Any) -> float | None:
    one, two = _number(first), _number(second)
    if one is None or two is None or one[1] != two[1] or one[0] == 0:
        return None
    return two[0] / one[0]


def _shown(value: Any) -> str | None:
    """A quantity in the unit that people write it in."""
    if value is None:
        return None
    found = _number(value)
    if found is None or not found[1]:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    number, unit = found
    if unit == "bit":
        whole = next((name for name, bits in _SIZES.items() if number >= bits and number % bits == 0), None)
        return f"{number:g} bit" if whole is None else f"{number / _SIZES[whole]:g} {whole}"
    return quantity(number, unit) if unit in ("Hz", "W", "s", "MAC/s", "bit/s") else f"{number:g} {unit}"
